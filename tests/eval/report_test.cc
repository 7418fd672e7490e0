// The HTML page: texts stay text, differences are marked, and a browser shows it on a phone.
#include "eval/report/report.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "engine/base/error.h"
#include "engine/base/subprocess.h"
#include "eval/report/comparison.h"
#include "eval/report/html.h"
#include "eval/report/word_diff.h"
#include "tests/eval/sweep_fixture.h"

namespace skipbench {
namespace {

TEST(Html, EscapesAllThatMeansSomething) {
  EXPECT_EQ(escaped_html("a<b>&\"'c"), "a&lt;b&gt;&amp;&quot;&#39;c");
  EXPECT_EQ(escaped_html("ä\n\t"), "ä\n\t");
  // Broken UTF-8 and control characters, NUL among them.
  EXPECT_EQ(escaped_html(std::string_view("\xff\0\x1b\r", 4)), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(html_note("a `<b>` c"), "a <code>&lt;b&gt;</code> c");
}

TEST(Html, Base64OfEveryRemainder) {  // RFC 4648, section 10
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foob\xff\xfe"), "Zm9vYv/+");
}

std::string with_brackets(const std::string& text, const std::string& other) {
  std::string marked, whole;
  for (const TextPiece& piece : word_differences(text, other)) {
    marked += piece.differs ? "[" + piece.text + "]" : piece.text;
    whole += piece.text;
  }
  EXPECT_EQ(whole, text);
  return marked;
}

TEST(WordDifferences, MarksWhatTheOtherTextLacks) {
  EXPECT_EQ(with_brackets("the cat sat on a mat", "the dog sat on the mat"),
            "the [cat ]sat on [a ]mat");
  EXPECT_EQ(with_brackets("same  words\n", "same words"), "same  words\n");
  EXPECT_EQ(with_brackets("b a", "a b"), "b [a]");
  EXPECT_EQ(with_brackets("all new", ""), "[all new]");
  EXPECT_EQ(with_brackets("", "gone"), "");
  EXPECT_EQ(with_brackets("  x", "x"), "  x");
  EXPECT_EQ(with_brackets(" \n", "x"), " \n");
  EXPECT_EQ(with_brackets("ein\u00a0Satz", "ein Satz"), "ein\u00a0Satz");  // Unicode space
}

// One results file whose every text is hostile.
class HtmlReport : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new SweepFolder();
    ASSERT_EQ(folder_->run("a.db"), SweepOutcome::kDone);
    Database database(folder_->path("a.db"), OpenMode::kReadWrite);
    const auto set = [&](const std::string& sql, const std::string& value) {
      Statement(database, sql).bind(value).run();
    };
    set("UPDATE outputs SET text = ? WHERE idx = 0", kScript);
    set("UPDATE outputs SET text = ? WHERE idx = 3",
        "\u202ereversed " + std::string(3000, 'w') + " </p></section><iframe src=x>");
    set("UPDATE outputs SET text = ? WHERE idx = 5", std::string("nul\0\x1b[31m`", 10) + "\xff");
    set("UPDATE outputs SET reference = ? WHERE idx = 0",
        nlohmann::json({"<b>bold</b> & \"quoted\" '", "{{second}} <!-- "}).dump());
    set("UPDATE run_cells SET dataset = ?", "d\"><img src=x onerror=alert(1)>");
    set("UPDATE run_cells SET strategy = ? WHERE strategy = 'unified'", "</td><script>u</script>");
    set("UPDATE runs SET model = ?", "</title><script>alert(2)</script>");
    set("UPDATE runs SET command = ?", "skipbench `run` <svg onload=alert(3)>");
    set("UPDATE runs SET config = json_set(config, '$.name', ?)", "<h1 style=x>&name");
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::string page(const ReportOptions& options = {}) {
    ResultStore store(folder_->path("a.db"), OpenMode::kReadOnly);
    ResultTable table = load_result_table(store);
    return html_report(store, table, options);
  }

  static constexpr char kScript[] = "<script>document.title='owned'</script> & <img src=//x.y/z>";
  static SweepFolder* folder_;
};
SweepFolder* HtmlReport::folder_ = nullptr;

TEST_F(HtmlReport, EveryTagIsOurs) {
  const std::string text = page();
  const std::set<std::string> known = {
      "!DOCTYPE", "html", "head",  "meta",    "title",  "style",   "body",    "h1",
      "h2",       "h3",   "h4",    "p",       "div",    "section", "table",   "tr",
      "th",       "td",   "thead", "tbody",   "ul",     "li",      "code",    "b",
      "span",     "pre",  "mark",  "details", "figure", "img",     "summary", "figcaption"};
  int images = 0;
  for (size_t at = 0; (at = text.find('<', at)) != std::string::npos;) {
    const size_t end = text.find('>', at);
    std::string tag = text.substr(at + 1, end - at - 1);
    at = end;
    if (tag.starts_with('/')) tag.erase(0, 1);
    const std::string name = tag.substr(0, tag.find(' '));
    EXPECT_TRUE(known.contains(name)) << tag.substr(0, 80);
    if (name == "img") {  // the hostile name stands in quotes, as the picture's text
      ++images;
      EXPECT_EQ(tag.rfind("img alt=\"", 0), 0u);
      EXPECT_EQ(tag.find(" src=\"data:image/svg+xml;base64,"), tag.rfind(" src=\""));
    } else if (name != "meta") {
      EXPECT_EQ(tag.find(" on"), std::string::npos) << tag;
    }
  }
  EXPECT_GE(images, 4);
  EXPECT_NE(text.find(escaped_html(kScript).substr(0, 20)), std::string::npos);
  EXPECT_EQ(text.find("http"), text.find("http-equiv")) << "an address of something elsewhere";
  EXPECT_EQ(text.rfind("http"), text.find("http-equiv"));
}

TEST_F(HtmlReport, ShowsTheSamplesAskedFor) {
  const auto count = [](const std::string& text, const std::string& what) {
    int found = 0;
    for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) ++found;
    return found;
  };
  // Five strategies at their targets and two references in the first example.
  const std::string one = page({.samples = 1});
  EXPECT_EQ(count(one, "<section class=example>"), 1);
  EXPECT_EQ(count(one, "<div><h4>"), 7);
  EXPECT_EQ(count(page({.samples = 100}), "<section class=example>"), 7);
  EXPECT_EQ(count(page({.samples = 0}), "<section class=example>"), 0);
  EXPECT_EQ(page(), page());
}

std::string find_browser() {
  for (const char* name : {"chromium", "chromium-browser", "google-chrome", "headless-shell"}) {
    try {
      const std::vector<std::string> argv = {name, "--version"};
      if (run_process(argv, "", 60).exit_code == 0) return name;
    } catch (const Error&) {  // not on PATH
    }
  }
  return "";
}

// In a frame as wide as a phone and as a desktop: nothing scrolls sideways but boxes made for it,
// every plot is drawn, and no text became an element.
TEST_F(HtmlReport, InHeadlessChromium) {
  const std::string browser = find_browser();
  if (browser.empty()) GTEST_SKIP() << "no Chromium on PATH (Debian: chromium)";
  std::ofstream(folder_->path("report.html"), std::ios::binary) << page();
  std::ofstream(folder_->path("probe.html")) << R"html(<!DOCTYPE html><body><script>
const widths = [390, 1280], found = [];
for (const width of widths) {
  const frame = document.createElement('iframe');
  frame.width = width; frame.height = 900; frame.src = 'report.html';
  frame.onload = () => {
    const page = frame.contentDocument, root = page.documentElement;
    const text = page.querySelector('.output');
    found.push({width, scroll: root.scrollWidth, client: root.clientWidth,
      images: page.images.length, drawn: [...page.images].filter(i => i.naturalWidth > 0).length,
      scripts: page.scripts.length, frames: page.querySelectorAll('iframe').length,
      title: page.title, marks: page.querySelectorAll('mark').length,
      font: parseFloat(frame.contentWindow.getComputedStyle(text).fontSize),
      viewport: page.querySelector('meta[name=viewport]').content});
    if (found.length == widths.length) {
      document.body.textContent = 'FOUND' + JSON.stringify(found) + 'END';
    }
  };
  document.body.append(frame);
}
</script>)html";
  const std::vector<std::string> argv = {browser,
                                         "--headless",
                                         "--no-sandbox",
                                         "--disable-gpu",
                                         "--disable-dev-shm-usage",
                                         "--allow-file-access-from-files",
                                         "--user-data-dir=" + folder_->path("browser"),
                                         "--virtual-time-budget=10000",
                                         "--dump-dom",
                                         "file://" + folder_->path("probe.html")};
  const ProcessResult result = run_process(argv, "", 90);
  const size_t begin = result.output.find("FOUND["), end = result.output.find("]END");
  ASSERT_TRUE(begin != std::string::npos && end != std::string::npos)
      << result.output << result.errors;
  std::string json = result.output.substr(begin + 5, end + 1 - begin - 5);
  for (const auto& [from, to] : {std::pair("&lt;", "<"), {"&gt;", ">"}, {"&amp;", "&"}}) {
    for (size_t at = 0; (at = json.find(from, at)) != std::string::npos;) {
      json.replace(at, std::string_view(from).size(), to);
    }
  }
  const auto found = nlohmann::json::parse(json);
  ASSERT_EQ(found.size(), 2u);
  for (const auto& view : found) {
    EXPECT_LE(view.at("scroll"), view.at("client")) << view;
    EXPECT_GE(view.at("images"), 4) << view;
    EXPECT_EQ(view.at("images"), view.at("drawn")) << view;
    EXPECT_EQ(view.at("scripts"), 0) << view;
    EXPECT_EQ(view.at("frames"), 0) << view;
    EXPECT_EQ(view.at("title"), "<h1 style=x>&name - skipbench") << view;
    EXPECT_GT(view.at("marks"), 0) << view;
    EXPECT_GE(view.at("font"), 14) << view;
    EXPECT_EQ(view.at("viewport"), "width=device-width, initial-scale=1") << view;
  }
}

}  // namespace
}  // namespace skipbench
