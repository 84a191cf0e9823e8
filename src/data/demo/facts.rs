//! Countries with capital, currency and continent. An item is a fact in one wording: a fact that is tested in one wording was seen in
//! training in others, never in that one.

use super::{
    Split,
    draft::{Draft, shuffled},
};
use crate::base::rng::Rng;

/// Country, capital, currency, continent. Left out: countries whose capital, currency or continent is disputed or about to change.
pub(super) const COUNTRIES: [(&str, &str, &str, &str); 68] = [
    ("France", "Paris", "euro", "Europe"),
    ("Germany", "Berlin", "euro", "Europe"),
    ("Italy", "Rome", "euro", "Europe"),
    ("Spain", "Madrid", "euro", "Europe"),
    ("Portugal", "Lisbon", "euro", "Europe"),
    ("Greece", "Athens", "euro", "Europe"),
    ("Austria", "Vienna", "euro", "Europe"),
    ("Ireland", "Dublin", "euro", "Europe"),
    ("Finland", "Helsinki", "euro", "Europe"),
    ("Poland", "Warsaw", "zloty", "Europe"),
    ("Sweden", "Stockholm", "krona", "Europe"),
    ("Norway", "Oslo", "krone", "Europe"),
    ("Denmark", "Copenhagen", "krone", "Europe"),
    ("Hungary", "Budapest", "forint", "Europe"),
    ("Romania", "Bucharest", "leu", "Europe"),
    ("Czechia", "Prague", "koruna", "Europe"),
    ("Switzerland", "Bern", "franc", "Europe"),
    ("Ukraine", "Kyiv", "hryvnia", "Europe"),
    ("Russia", "Moscow", "ruble", "Europe"),
    ("Serbia", "Belgrade", "dinar", "Europe"),
    ("Albania", "Tirana", "lek", "Europe"),
    ("Iceland", "Reykjavik", "krona", "Europe"),
    ("China", "Beijing", "yuan", "Asia"),
    ("Japan", "Tokyo", "yen", "Asia"),
    ("India", "New Delhi", "rupee", "Asia"),
    ("Pakistan", "Islamabad", "rupee", "Asia"),
    ("Nepal", "Kathmandu", "rupee", "Asia"),
    ("Thailand", "Bangkok", "baht", "Asia"),
    ("Vietnam", "Hanoi", "dong", "Asia"),
    ("Malaysia", "Kuala Lumpur", "ringgit", "Asia"),
    ("Mongolia", "Ulaanbaatar", "tugrik", "Asia"),
    ("Bangladesh", "Dhaka", "taka", "Asia"),
    ("Iran", "Tehran", "rial", "Asia"),
    ("Iraq", "Baghdad", "dinar", "Asia"),
    ("Jordan", "Amman", "dinar", "Asia"),
    ("Oman", "Muscat", "rial", "Asia"),
    ("Qatar", "Doha", "riyal", "Asia"),
    ("Laos", "Vientiane", "kip", "Asia"),
    ("Egypt", "Cairo", "pound", "Africa"),
    ("Morocco", "Rabat", "dirham", "Africa"),
    ("Tunisia", "Tunis", "dinar", "Africa"),
    ("Libya", "Tripoli", "dinar", "Africa"),
    ("Kenya", "Nairobi", "shilling", "Africa"),
    ("Uganda", "Kampala", "shilling", "Africa"),
    ("Ethiopia", "Addis Ababa", "birr", "Africa"),
    ("Ghana", "Accra", "cedi", "Africa"),
    ("Nigeria", "Abuja", "naira", "Africa"),
    ("Senegal", "Dakar", "franc", "Africa"),
    ("Zambia", "Lusaka", "kwacha", "Africa"),
    ("Angola", "Luanda", "kwanza", "Africa"),
    ("Botswana", "Gaborone", "pula", "Africa"),
    ("Rwanda", "Kigali", "franc", "Africa"),
    ("Mozambique", "Maputo", "metical", "Africa"),
    ("Canada", "Ottawa", "dollar", "North America"),
    ("Cuba", "Havana", "peso", "North America"),
    ("Jamaica", "Kingston", "dollar", "North America"),
    ("Honduras", "Tegucigalpa", "lempira", "North America"),
    ("Nicaragua", "Managua", "cordoba", "North America"),
    ("Brazil", "Brasilia", "real", "South America"),
    ("Argentina", "Buenos Aires", "peso", "South America"),
    ("Chile", "Santiago", "peso", "South America"),
    ("Peru", "Lima", "sol", "South America"),
    ("Colombia", "Bogota", "peso", "South America"),
    ("Uruguay", "Montevideo", "peso", "South America"),
    ("Venezuela", "Caracas", "bolivar", "South America"),
    ("Australia", "Canberra", "dollar", "Oceania"),
    ("Fiji", "Suva", "dollar", "Oceania"),
    ("Samoa", "Apia", "tala", "Oceania"),
];

const WORDINGS: usize = 6;
const CAPITAL: [&str; WORDINGS] = [
    "The capital of {} is",
    "The capital city of {} is called",
    "The government of {} sits in",
    "Q: What is the capital of {}? A:",
    "On a map of {} the star marks",
    "The seat of government in {} is",
];
const COUNTRY: [&str; WORDINGS] = [
    "{} is the capital of",
    "{} is the capital city of",
    "The city of {} governs",
    "Q: {} is the capital of which country? A:",
    "Ministers who work in {} govern",
    "The country with {} as capital is",
];
const CURRENCY: [&str; WORDINGS] = [
    "The currency of {} is the",
    "The money of {} is called the",
    "Shops in {} take the",
    "Q: What is the currency of {}? A: the",
    "Prices in {} are given in the",
    "Banks in {} pay out the",
];
const CONTINENT: [&str; WORDINGS] = [
    "The continent of {} is",
    "{} is a country in",
    "{} lies in",
    "Q: On which continent is {}? A:",
    "On a globe {} is found in",
    "A traveller to {} goes to",
];

pub(super) fn draw(rng: &mut Rng) -> Draft {
    let (c, relation, wording) = (rng.below(COUNTRIES.len()), rng.below(4), rng.below(WORDINGS));
    fact(rng, c, relation, wording)
}

fn fact(rng: &mut Rng, c: usize, relation: usize, wording: usize) -> Draft {
    let (country, capital, currency, continent) = COUNTRIES[c];
    let (wordings, subject, answer, column) = match relation {
        0 => (CAPITAL, country, capital, COUNTRIES.map(|x| x.1)),
        1 => (COUNTRY, capital, country, COUNTRIES.map(|x| x.0)),
        2 => (CURRENCY, country, currency, COUNTRIES.map(|x| x.2)),
        _ => (CONTINENT, country, continent, COUNTRIES.map(|x| x.3)),
    };
    let context = wordings[wording].replace("{}", subject);
    // Each fact keeps one wording for test and another for validation; which ones changes from fact to fact.
    let turn = (wording + WORDINGS - (c + relation) % WORDINGS) % WORDINGS;
    let split = match turn {
        0 => Split::Test,
        1 => Split::Validation,
        _ => Split::Train,
    };
    let key = format!("facts {relation} {c} {wording}");
    Draft::new(key, split, context, answer.into(), shuffled(&column, rng).into_iter().map(String::from), 3)
}
