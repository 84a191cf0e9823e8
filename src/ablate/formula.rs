//! Neuron sets by formula: `cap(top(arithmetic, 10%) - top(logic, 10%), 20)`.
//!
//! | | |
//! |---|---|
//! | `a \| b`, `a, b` | in either |
//! | `a & b` | in both (binds tighter) |
//! | `a - b` | in the first and not in the second |
//! | `top(domain, 10%)`, `top(domain, 200)`, `top(domain, 10%, metric)` | largest of a map, ranked over the whole model |
//! | `cap(a, 20)` | at most 20 in each layer: the highest in the maps that `a` is made of |
//! | `layers(a, 4-9)` | those in layers 4 to 9 |
//! | `random_like(a, 1)` | random, as many in each layer as `a`, by seed |
//! | `L3N17`, `L4N0-15`, `blocks.3.mlp.hook_post[17]` | by name |
//! | `'my set'`, `my_set`, `selection`, `off` | a set that there is |

use crate::base::{Error, Grid, Neuron, NeuronSet, Result};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// A formula that was read; [`Formula::evaluate`] gives its neurons.
#[derive(Clone, Debug, PartialEq)]
pub struct Formula {
    text: String,
    root: Node,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Places(NeuronSet),
    Name(String),
    Top { domain: String, amount: Amount, metric: Option<String> },
    Both(Op, Box<Self>, Box<Self>),
    Cap(Box<Self>, usize),
    Layers(Box<Self>, usize, usize),
    RandomLike(Box<Self>, u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Union,
    Minus,
    Intersection,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Amount {
    Percent(f64),
    Count(usize),
}

/// Where the names of a formula come from.
pub trait Names {
    /// # Errors
    /// When there is no such set; the message says which there are.
    fn set(&self, name: &str) -> Result<NeuronSet>;
    /// `metric`: `None` for relevance, or what there is of it.
    ///
    /// # Errors
    /// When there is no such map; the message says which there are.
    fn map(&self, domain: &str, metric: Option<&str>) -> Result<Grid>;
    /// Neurons of a layer.
    ///
    /// # Errors
    /// When there is no model that says.
    fn d_mlp(&self) -> Result<usize>;
}

/// Neurons, and the maps by which they rank: the number of a map says which metric it is of.
struct Ranked {
    neurons: NeuronSet,
    by: Vec<(Option<String>, Grid)>,
}

impl Formula {
    pub fn text(&self) -> &str {
        &self.text
    }
    /// Domains whose maps it reads, sorted.
    pub fn domains(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        self.root.visit(&mut |node| {
            if let Node::Top { domain, .. } = node {
                found.insert(domain.clone());
            }
        });
        found
    }
    /// Metrics that it names besides the usual one.
    pub fn metrics(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        self.root.visit(&mut |node| {
            if let Node::Top { metric: Some(metric), .. } = node {
                found.insert(metric.clone());
            }
        });
        found
    }
    /// Sets that it names, sorted.
    pub fn sets(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        self.root.visit(&mut |node| {
            if let Node::Name(name) = node {
                found.insert(name.clone());
            }
        });
        found
    }
    /// # Errors
    /// When a name is not known, or a cap has no single ranking to go by.
    pub fn evaluate(&self, names: &dyn Names) -> Result<NeuronSet> {
        Ok(self.root.evaluate(names)?.neurons)
    }
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Node {
    fn visit(&self, each: &mut dyn FnMut(&Self)) {
        each(self);
        match self {
            Self::Places(_) | Self::Name(_) | Self::Top { .. } => {}
            Self::Both(_, a, b) => {
                a.visit(each);
                b.visit(each);
            }
            Self::Cap(a, _) | Self::Layers(a, ..) | Self::RandomLike(a, _) => a.visit(each),
        }
    }

    fn evaluate(&self, names: &dyn Names) -> Result<Ranked> {
        let plain = |neurons| Ranked { neurons, by: Vec::new() };
        Ok(match self {
            Self::Places(set) => plain(set.clone()),
            Self::Name(name) => plain(names.set(name)?),
            Self::Top { domain, amount, metric } => {
                let map = names.map(domain, metric.as_deref())?;
                let neurons = match *amount {
                    Amount::Percent(p) => NeuronSet::top_percent(&map, p),
                    Amount::Count(n) => NeuronSet::top_count(&map, n),
                };
                Ranked { neurons, by: vec![(metric.clone(), map)] }
            }
            Self::Both(op, a, b) => {
                let (mut a, b) = (a.evaluate(names)?, b.evaluate(names)?);
                a.neurons = match op {
                    Op::Union => a.neurons.union(&b.neurons),
                    Op::Minus => a.neurons.minus(&b.neurons),
                    Op::Intersection => a.neurons.intersection(&b.neurons),
                };
                // What was taken away says nothing of what is left.
                if *op != Op::Minus {
                    a.by.extend(b.by);
                }
                a
            }
            Self::Cap(a, count) => {
                let a = a.evaluate(names)?;
                Ranked { neurons: a.capped(*count)?, by: a.by }
            }
            Self::Layers(a, first, last) => {
                let a = a.evaluate(names)?;
                Ranked { neurons: a.neurons.in_layers(*first, *last), by: a.by }
            }
            Self::RandomLike(a, seed) => plain(a.evaluate(names)?.neurons.random_like(names.d_mlp()?, *seed)),
        })
    }
}

impl Ranked {
    /// By the largest value that a neuron has in any of the maps; by index where there is none.
    fn capped(&self, count: usize) -> Result<NeuronSet> {
        if let Some(((first, _), rest)) = self.by.split_first()
            && let Some((other, _)) = rest.iter().find(|(m, _)| m != first)
        {
            let name = |m: &Option<String>| m.clone().unwrap_or_else(|| "relevance".into());
            return Err(Error::invalid(format!(
                "cap cannot rank neurons by {} and {} at once: cap each part by itself, then join them",
                name(first),
                name(other)
            )));
        }
        let score = |n: Neuron| {
            let of = |g: &Grid| g.get(n.layer as usize, n.index as usize).filter(|v| v.is_finite()).map(f64::from);
            self.by.iter().filter_map(|(_, g)| of(g)).fold(f64::NEG_INFINITY, f64::max)
        };
        Ok(self.neurons.cap(count, score))
    }
}

impl FromStr for Formula {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let mut parser = Parser { text, at: 0, depth: 0, operators: 0 };
        let root = parser.list()?;
        parser.space();
        if parser.at < text.len() {
            let found = parser.found();
            return Err(parser.error(format!("expected `|`, `&`, `-` or the end, found {found}")));
        }
        Ok(Self { text: text.to_owned(), root })
    }
}

/// Deeper than anybody writes; a file must not overflow the stack.
const DEPTH: usize = 64;
const OPERATORS: usize = 1_000;

/// Recursive descent over the text itself: what a hyphen means depends on where it stands.
struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    operators: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }
    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }
    fn peek(&mut self) -> Option<char> {
        self.space();
        self.rest().chars().next()
    }
    fn take(&mut self, c: char) -> bool {
        let there = self.peek() == Some(c);
        if there {
            self.at += c.len_utf8();
        }
        there
    }
    fn found(&mut self) -> String {
        self.space();
        let word: String = self.rest().chars().take_while(|c| !c.is_whitespace()).take(16).collect();
        if word.is_empty() { "the end".into() } else { format!("`{word}`") }
    }
    fn error(&self, why: impl fmt::Display) -> Error {
        let place = self.text[..self.at].chars().count() + 1;
        Error::invalid(format!("`{}`, character {place}: {why}", self.text))
    }
    fn expect(&mut self, c: char, after: &str) -> Result<()> {
        if self.take(c) {
            return Ok(());
        }
        let found = self.found();
        Err(self.error(format!("expected `{c}` {after}, found {found}")))
    }

    /// `sum, sum`: commas join, as in `L3N17,L4N0-15`.
    fn list(&mut self) -> Result<Node> {
        let mut node = self.sum()?;
        while self.take(',') {
            // A comma at the end is no mistake.
            if self.peek().is_none() {
                break;
            }
            node = self.both(Op::Union, node, Self::sum)?;
        }
        Ok(node)
    }

    fn both(&mut self, op: Op, left: Node, right: fn(&mut Self) -> Result<Node>) -> Result<Node> {
        self.operators += 1;
        if self.operators > OPERATORS {
            return Err(self.error(format!("more than {OPERATORS} operators; keep long lists of neurons in a file")));
        }
        Ok(match (op, left, right(self)?) {
            (Op::Union, Node::Places(a), Node::Places(b)) => Node::Places(a.union(&b)),
            (_, a, b) => Node::Both(op, a.into(), b.into()),
        })
    }

    /// `product | product - product`
    fn sum(&mut self) -> Result<Node> {
        let mut node = self.product()?;
        loop {
            let op = match self.peek() {
                Some('|' | '+') => Op::Union,
                Some('-' | '−') => Op::Minus,
                _ => return Ok(node),
            };
            self.at += self.peek().map_or(0, char::len_utf8);
            node = self.both(op, node, Self::product)?;
        }
    }

    /// `term & term`
    fn product(&mut self) -> Result<Node> {
        let mut node = self.term()?;
        while self.take('&') {
            node = self.both(Op::Intersection, node, Self::term)?;
        }
        Ok(node)
    }

    fn term(&mut self) -> Result<Node> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.error(format!("more than {DEPTH} parentheses inside each other")));
        }
        let node = match self.peek() {
            Some('(') => {
                self.take('(');
                let inside = self.list()?;
                self.expect(')', "to close the parenthesis")?;
                inside
            }
            Some(quote @ ('\'' | '"')) => Node::Name(self.quoted(quote)?),
            Some(c) if is_word(c) => self.word()?,
            _ => {
                let found = self.found();
                return Err(
                    self.error(format!("expected a set, a neuron such as L3N17 or a function such as top(domain, 10%), found {found}"))
                );
            }
        };
        self.depth -= 1;
        Ok(node)
    }

    fn quoted(&mut self, quote: char) -> Result<String> {
        self.take(quote);
        let Some(end) = self.rest().find(quote) else {
            return Err(self.error(format!("the closing {quote} is missing")));
        };
        let name = self.rest()[..end].to_owned();
        self.at += end + quote.len_utf8();
        Ok(name)
    }

    /// A neuron, a function or the name of a set.
    fn word(&mut self) -> Result<Node> {
        let start = self.at;
        let word: String = self.rest().chars().take_while(|&c| is_word(c)).collect();
        self.at += word.len();
        if self.rest().starts_with('[') {
            let Some(end) = self.rest().find(']') else { return Err(self.error("the closing ] is missing")) };
            self.at += end + 1;
            return NeuronSet::parse(&self.text[start..self.at]).map(Node::Places);
        }
        if word.parse::<Neuron>().is_ok() {
            let range = self.rest().strip_prefix('-').map(|r| r.chars().take_while(char::is_ascii_digit).count()).filter(|&n| n > 0);
            self.at += range.map_or(0, |n| n + 1);
            return NeuronSet::parse(&self.text[start..self.at]).map(Node::Places);
        }
        if self.peek() == Some('(') {
            return self.function(&word.to_lowercase(), start);
        }
        Ok(Node::Name(word))
    }

    fn function(&mut self, name: &str, start: usize) -> Result<Node> {
        if !["top", "cap", "layers", "random_like"].contains(&name) {
            self.at = start;
            return Err(self.error(format!("there is no function `{name}`; there are top, cap, layers and random_like")));
        }
        self.take('(');
        let node = if name == "top" {
            let domain = self.plain_argument("the domain")?;
            self.expect(',', "and a share such as 10% after the domain")?;
            let amount = self.amount()?;
            let metric = if self.take(',') { Some(self.plain_argument("the metric")?.replace(['-', ' '], "_")) } else { None };
            Node::Top { domain, amount, metric }
        } else {
            let inside = Box::new(self.sum()?);
            let what = match name {
                "cap" => "and the most neurons of a layer",
                "layers" => "and layers such as 4-9",
                _ => "and a seed",
            };
            self.expect(',', what)?;
            match name {
                "cap" => Node::Cap(inside, self.number("the most neurons of a layer")?),
                "layers" => {
                    let first = self.number("a layer")?;
                    let last = if self.take('-') { self.number("a layer")? } else { first };
                    if last < first {
                        return Err(self.error("layers go from the smaller to the larger number"));
                    }
                    Node::Layers(inside, first, last)
                }
                _ => Node::RandomLike(inside, self.number("a seed")?),
            }
        };
        self.expect(')', &format!("to close {name}("))?;
        Ok(node)
    }

    /// Everything up to the next comma or parenthesis: names of domains have hyphens.
    fn plain_argument(&mut self, what: &str) -> Result<String> {
        if let Some(quote @ ('\'' | '"')) = self.peek() {
            return self.quoted(quote);
        }
        let end = self.rest().find([',', ')', '(']).unwrap_or(self.rest().len());
        let name = self.rest()[..end].trim().to_owned();
        if name.is_empty() {
            return Err(self.error(format!("{what} is missing")));
        }
        self.at += end;
        Ok(name)
    }

    fn amount(&mut self) -> Result<Amount> {
        self.space();
        let digits: String = self.rest().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let bad = |p: &Self| p.error("expected a share above 0 and up to 100 % (as 10%) or a number of neurons (as 200)");
        let number: f64 = digits.parse().map_err(|_| bad(self))?;
        self.at += digits.len();
        if self.take('%') {
            return if number > 0.0 && number <= 100.0 { Ok(Amount::Percent(number)) } else { Err(bad(self)) };
        }
        if number.fract() != 0.0 || number < 1.0 {
            return Err(bad(self));
        }
        Ok(Amount::Count(number as usize))
    }

    fn number<T: FromStr>(&mut self, what: &str) -> Result<T> {
        self.space();
        let digits: String = self.rest().chars().take_while(char::is_ascii_digit).collect();
        match digits.parse() {
            Ok(n) => {
                self.at += digits.len();
                Ok(n)
            }
            Err(_) => {
                let found = self.found();
                Err(self.error(format!("expected {what}, found {found}")))
            }
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '#')
}

/// A name as a formula reads it back.
pub fn quoted(name: &str) -> String {
    if name.contains('\'') { format!("\"{name}\"") } else { format!("'{name}'") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two layers of four neurons; domains `a` and `arc-easy`, and a set `mine`.
    struct Small;

    impl Names for Small {
        fn set(&self, name: &str) -> Result<NeuronSet> {
            if name == "mine" || name == "my set" { NeuronSet::parse("L1N0-1") } else { Err(Error::invalid(format!("no set `{name}`"))) }
        }
        fn map(&self, domain: &str, metric: Option<&str>) -> Result<Grid> {
            let values = match (domain, metric) {
                ("a", None) => vec![8.0, 7.0, 6.0, 5.0, 1.0, 2.0, 3.0, 4.0],
                ("arc-easy", None) => vec![1.0, 2.0, 3.0, 4.0, 8.0, 7.0, 6.0, 5.0],
                ("a", Some("mean_activation")) => vec![0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 8.0],
                _ => return Err(Error::invalid(format!("no map of {domain}"))),
            };
            Grid::new(2, 4, values)
        }
        fn d_mlp(&self) -> Result<usize> {
            Ok(4)
        }
    }

    fn of(text: &str) -> String {
        text.parse::<Formula>().unwrap_or_else(|e| panic!("{e}")).evaluate(&Small).unwrap_or_else(|e| panic!("{text}: {e}")).to_string()
    }

    #[test]
    fn operators_bind_as_written() {
        assert_eq!(of("L0N0-2 - L0N1"), "L0N0,L0N2");
        assert_eq!(of("L0N0|L0N1&L0N2"), "L0N0", "& first");
        assert_eq!(of("(L0N0|L0N1)&L0N1"), "L0N1");
        assert_eq!(of("L0N0-3 - L0N1 - L0N2"), "L0N0,L0N3", "from the left");
        assert_eq!(of("L0N0, L1N0-1"), "L0N0,L1N0-1");
        assert_eq!(of("mine | 'my set' - L1N0"), "L1N1");
        assert_eq!(of("blocks.0.mlp.hook_post[1:3] | model.layers.1.mlp.down_proj.weight[:, 3]"), "L0N1-2,L1N3");
    }

    #[test]
    fn tops_caps_layers_and_random_sets() {
        // Half of 8 cells: a has its largest in layer 0, arc-easy in layer 1.
        assert_eq!(of("top(a, 50%)"), "L0N0-3");
        assert_eq!(of("top(arc-easy, 3)"), "L1N0-2");
        assert_eq!(of("top(a, 2, mean-activation)"), "L0N3,L1N3");
        assert_eq!(of("top(a, 75%) & top(arc-easy, 75%)"), "L0N2-3,L1N2-3");
        // The highest of each layer by the maps in it, not by index: cell (1, 3) is 4 in a.
        assert_eq!(of("cap(top(a, 100%), 1)"), "L0N0,L1N3");
        // In either map: layer 1's highest is 8, of arc-easy, at 0.
        assert_eq!(of("cap(top(a, 100%) | top(arc-easy, 100%), 1)"), "L0N0,L1N0");
        // What is taken away ranks nothing.
        assert_eq!(of("cap(top(a, 100%) - top(arc-easy, 1), 1)"), "L0N0,L1N3");
        assert_eq!(of("layers(top(a, 100%), 1-1)"), "L1N0-3");
        assert_eq!(of("random_like(L0N0-2, 1)"), NeuronSet::parse("L0N0-2").expect("set").random_like(4, 1).to_string());
    }

    #[test]
    fn what_a_formula_reads_is_known_before_it_runs() {
        let f: Formula = "cap(top(a, 5%), 3) | top('b c', 9, mean_activation) - mine".parse().expect("formula");
        assert_eq!(f.domains().into_iter().collect::<Vec<_>>(), ["a", "b c"]);
        assert_eq!(f.sets().into_iter().collect::<Vec<_>>(), ["mine"]);
        assert_eq!(f.metrics().into_iter().collect::<Vec<_>>(), ["mean_activation"]);
    }

    #[test]
    fn mistakes_say_where_and_what_was_expected() {
        for (text, parts) in [
            ("", &["character 1", "found the end"][..]),
            ("top(a 10%)", &["`,`", "share"]),
            ("top(a, 0%)", &["above 0"]),
            ("top(a, x)", &["10%"]),
            ("top(, 5%)", &["the domain is missing"]),
            ("cap(L0N0)", &["`,`", "most neurons"]),
            ("cap(L0N0, x)", &["most neurons of a layer", "`x)`"]),
            ("(L0N0", &["`)`", "the end"]),
            ("L0N0 L0N1", &["character 6", "`L0N1`"]),
            ("L0N0 |", &["character 7", "expected a set"]),
            ("bottom(a, 5%)", &["no function `bottom`", "random_like"]),
            ("'mine", &["closing '"]),
            ("layers(mine, 3-1)", &["smaller to the larger"]),
        ] {
            let e = text.parse::<Formula>().expect_err(text).to_string();
            assert!(parts.iter().all(|p| e.contains(p)), "{text}: {e}");
        }
        let e = "cap(top(a, 3) | top(a, 3, mean_activation), 1)".parse::<Formula>().expect("reads").evaluate(&Small);
        assert!(e.is_err_and(|e| e.to_string().contains("relevance and mean_activation")));
        let deep = format!("{}L0N0{}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(deep.parse::<Formula>().is_err_and(|e| e.to_string().contains("64")));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,40}|[LN0-9,|&()%\\- top'cap]{0,40}") {
            if let Ok(f) = text.parse::<Formula>() {
                let _ = f.evaluate(&Small);
            }
        }

        #[test]
        fn lists_of_neurons_are_formulas(cells in proptest::collection::vec((0u32..6, 0u32..40), 1..40)) {
            let set: NeuronSet = cells.into_iter().map(|(l, i)| Neuron::new(l, i)).collect();
            let f: Formula = set.to_string().parse().expect("own text");
            prop_assert_eq!(f.evaluate(&Small).expect("places"), set);
        }
    }
}
