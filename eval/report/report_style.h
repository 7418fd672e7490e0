// The report's style sheet: one column on a phone, tables scroll in boxes of their own.
#pragma once

namespace skipbench {

inline constexpr char kReportStyle[] = R"css(
:root { color: #1a1a1a; background: #fff; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 75rem; margin: 0 auto; padding: 0 1rem 3rem; overflow-wrap: anywhere; }
h1 { margin-bottom: 0; }
h2 { border-bottom: 2px solid #0072b2; margin-top: 2.5rem; }

.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #d8d8d8; }
th.text, td.text { text-align: left; }
thead th { border-bottom: 2px solid #606060; }
th:first-child, td:first-child { position: sticky; left: 0; background: #fff; }
.notes, .muted { color: #505050; font-size: .85rem; }
.plots { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
figure { margin: 0; }
figure img { width: 100%; max-width: 36rem; height: auto; }
.example { border: 1px solid #b0b0b0; border-radius: .4rem; margin: 1rem 0; }
.example h3 { font-size: 1rem; margin: 0; padding: .4rem .8rem; background: #eef3f7; }
.outputs { display: grid; gap: .8rem; padding: .8rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); }
.outputs h4 { margin: 0; font-size: .85rem; }
.output { white-space: pre-wrap; unicode-bidi: isolate; margin: 0; max-height: 16rem; overflow-y: auto; }
mark { background: #fde7c1; color: inherit; border-bottom: 2px solid #d55e00; }
)css";

}  // namespace skipbench
