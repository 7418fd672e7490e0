#!/usr/bin/env python3
"""Writes unicode_tables.inc: the character properties that sacreBLEU's Python sees.

Needs Python 3.11 (str.lower of Unicode 14) and the `regex` package (the classes of the `intl`
tokenizer). Run in this folder: python3 make_unicode_tables.py > unicode_tables.inc
"""
import regex

CODE_POINTS = [c for c in range(0x80, 0x110000) if not 0xD800 <= c <= 0xDFFF]


def ranges(kind_of):
    """Runs of code points with the same non-zero kind: [first, last, kind]."""
    out = []
    for c in CODE_POINTS:
        kind = kind_of(chr(c))
        if not kind:
            continue
        if out and out[-1][1] == c - 1 and out[-1][2] == kind:
            out[-1][1] = c
        else:
            out.append([c, c, kind])
    return out


def intl_kind(char):
    for name, letter in (("kNumber", "N"), ("kPunctuation", "P"), ("kSymbol", "S")):
        if regex.fullmatch(r"\p{%s}" % letter, char):
            return "CharClass::" + name
    return None


def sigma_kind(char):
    """How str.lower treats `char` beside a capital sigma, found by asking it."""
    if (" " + char + "\u03a3").lower().endswith("\u03c2"):
        return "SigmaContext::kCased"
    if ("a" + char + "\u03a3").lower().endswith("\u03c2"):
        return "SigmaContext::kIgnorable"
    return None


def lower_ranges():
    """Runs with one distance to the lower case and a fixed step: [first, last, step, delta]."""
    out = []
    for c in CODE_POINTS:
        lower = chr(c).lower()
        if lower == chr(c) or len(lower) != 1:  # only U+0130 grows; unicode.cc knows it
            assert len(lower) == 1 or c == 0x130
            continue
        delta = ord(lower) - c
        if out and out[-1][3] == delta:
            first, last, step, _ = out[-1]
            if c - last in (1, 2) and (first == last or step == c - last):
                out[-1][1:3] = [c, c - last]
                continue
        out.append([c, c, 1, delta])
    return out


def emit(declaration, rows):
    print(declaration + " = {")
    line = "   "
    for row in rows:
        item = " {" + ", ".join(row) + "},"
        if len(line) + len(item) > 100:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};\n")


def main():
    print("// Made by make_unicode_tables.py; do not edit. Code points from U+0080 on.\n")
    print("// clang-format off")
    short = {"CharClass::kNumber": "kN", "CharClass::kPunctuation": "kP", "CharClass::kSymbol": "kS"}
    for name, alias in short.items():
        print(f"constexpr CharClass {alias} = {name};")
    print("constexpr SigmaContext kC = SigmaContext::kCased;")
    print("constexpr SigmaContext kI = SigmaContext::kIgnorable;\n")
    short |= {"SigmaContext::kCased": "kC", "SigmaContext::kIgnorable": "kI"}
    for declaration, kind_of in (("constexpr KindRange<CharClass> kCharClasses[]", intl_kind),
                                 ("constexpr KindRange<SigmaContext> kSigmaContexts[]", sigma_kind)):
        emit(declaration, [[f"{a:#x}", f"{b:#x}", short[k]] for a, b, k in ranges(kind_of)])
    emit("constexpr LowerRange kLower[]",
         [[f"{a:#x}", f"{b:#x}", str(s), str(d)] for a, b, s, d in lower_ranges()])
    print("// clang-format on")


if __name__ == "__main__":
    main()
