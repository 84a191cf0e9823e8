"""Makes the font files of this folder from the released ones.

    python subset.py Inter-Regular.otf Inter-SemiBold.otf JetBrainsMono-Regular.ttf

Needs fonttools (made with 4.68). Keeps Latin, Greek, Cyrillic, punctuation, arrows, mathematics and box shapes, drops ligatures, and
makes Inter's tabular figures the default ones, so that numbers line up in columns and do not shiver while they change.
"""

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

RANGES = [
    (0x20, 0x7E), (0xA0, 0x17F), (0x1E0, 0x24F), (0x2B0, 0x36F), (0x370, 0x3FF), (0x400, 0x45F), (0x1E00, 0x1EFF), (0x2000, 0x206F), (0x2070, 0x209F),
    (0x20A0, 0x20BF), (0x2100, 0x214F), (0x2150, 0x218F), (0x2190, 0x21FF), (0x2200, 0x22FF), (0x2300, 0x23FF), (0x2460, 0x24FF), (0x25A0, 0x25FF), (0x2600, 0x26FF),
    (0x2713, 0x2717),
]


def bake_tabular_figures(font):
    """Maps the characters that `tnum` replaces straight to their replacements."""
    gsub = font["GSUB"].table
    swaps = {}
    for record in gsub.FeatureList.FeatureRecord:
        if record.FeatureTag != "tnum":
            continue
        for index in record.Feature.LookupListIndex:
            for table in gsub.LookupList.Lookup[index].SubTable:
                swaps.update(getattr(table, "mapping", None) or getattr(table.ExtSubTable, "mapping", {}))
    digits = {ord(c) for c in "0123456789"}
    for table in font["cmap"].tables:
        for code, glyph in list(table.cmap.items()):
            # Points and colons stay proportional inside words; only figures and the signs of sums become tabular.
            if glyph in swaps and (code in digits or chr(code) in "+−±=<>"):
                table.cmap[code] = swaps[glyph]


for name in sys.argv[1:]:
    font = TTFont(name)
    if "Inter" in name:
        bake_tabular_figures(font)
    options = subset.Options(layout_features=["kern", "mark", "mkmk", "ccmp", "locl"], name_IDs=["*"], hinting=True, notdef_outline=True)
    worker = subset.Subsetter(options)
    worker.populate(unicodes=[c for a, b in RANGES for c in range(a, b + 1)])
    worker.subset(font)
    out = Path(__file__).parent / Path(name).name
    font.save(out)
    print(out.name, out.stat().st_size, "bytes; width of 1 and 8:", [font["hmtx"][font.getBestCmap()[ord(c)]][0] for c in "18"])
