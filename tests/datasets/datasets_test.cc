#include <gtest/gtest.h>
#include <stdlib.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "datasets/dataset.h"
#include "datasets/postprocess.h"
#include "datasets/prompt_template.h"
#include "engine/base/error.h"
#include "engine/base/text_file.h"
#include "tests/temp_folder.h"

namespace skipbench {
namespace {

using Strings = std::vector<std::string>;

// Whether `action` throws an Error that holds all of `parts`.
testing::AssertionResult says(const Strings& parts, const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    for (const std::string& part : parts) {
      if (std::string(error.what()).find(part) == std::string::npos) {
        return testing::AssertionFailure() << "no '" << part << "' in: " << error.what();
      }
    }
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << "no error";
}

class DataFolder : public testing::Test {
 protected:
  ~DataFolder() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return (folder_ / name).string();
  }
  std::string write_gzip(const std::string& name, const std::string& text) const {
    const std::string path = (folder_ / name).string();
    gzFile file = gzopen(path.c_str(), "wb");
    gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    gzclose(file);
    return path;
  }

  std::filesystem::path folder_ = make_temp_folder("data");
};

using TextFile = DataFolder;
using Dataset = DataFolder;

TEST_F(TextFile, LinesEndAtLineFeedsAlone) {
  const std::string odd = "a\xe2\x80\xa8z\xc2\x85z\x0cz";
  EXPECT_EQ(read_text_lines(write("a", odd + "\n\nlast")), (Strings{odd, "", "last"}));
  EXPECT_EQ(read_text_lines(write("b", "one\r\ntwo\r\n")), (Strings{"one", "two"}));
  EXPECT_EQ(read_text_lines(write("c", "")), Strings{});
  EXPECT_EQ(read_text_lines(write("d", "\n")), Strings{""});
}

TEST_F(TextFile, GzipIsReadAsText) {
  std::string text;
  for (int i = 0; i < 40000; ++i) text += "line " + std::to_string(i) + "\n";
  const std::string path = write_gzip("a.gz", text);
  EXPECT_EQ(read_text_file(path), text);
  EXPECT_EQ(read_text_lines(path).size(), 40000u);
}

TEST_F(TextFile, WrongFiles) {
  EXPECT_TRUE(says({"nowhere.txt", "No such file"}, [] { read_text_file("nowhere.txt"); }));
  EXPECT_TRUE(says({"is a folder"}, [&] { read_text_file(folder_.string()); }));
  EXPECT_TRUE(says({":2", "UTF-8", "0xff", "column 3"},
                   [&] { read_text_lines(write("bad", "ok\nab\xff\n")); }));
  std::ifstream whole(write_gzip("a.gz", std::string(5000, 'x') + "end"), std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(whole)), {});
  for (const size_t length : {bytes.size() - 1, bytes.size() - 8, bytes.size() / 2}) {
    const std::string cut = write("cut.gz", bytes.substr(0, length));
    EXPECT_TRUE(says({"cut.gz", "damaged"}, [&] { read_text_file(cut); })) << length;
  }
  bytes[bytes.size() - 6] ^= 1;  // its checksum
  EXPECT_TRUE(says({"damaged"}, [&] { read_text_file(write("flip.gz", bytes)); }));
}

TEST_F(Dataset, ParallelText) {
  const DataFiles files{.source = write("s", "eins\nzwei\n"),
                        .references = {write("r1", "one\ntwo\n"), write_gzip("r2", "1\n2\n")}};
  const auto examples = load_examples(files);
  ASSERT_EQ(examples.size(), 2u);
  EXPECT_EQ(examples[1].fields.at("source"), "zwei");
  EXPECT_EQ(examples[1].references, (Strings{"two", "2"}));
}

TEST_F(Dataset, ParallelTextMustAlign) {
  const DataFiles files{.source = write("s", "eins\nzwei\n"), .references = {write("r", "one\n")}};
  EXPECT_TRUE(says({"/r:", "differ in their number of lines", "2 lines", "1 lines"},
                   [&] { load_examples(files); }));
  EXPECT_TRUE(says({"no examples"}, [&] {
    load_examples({.source = write("e", ""), .references = {write("f", "")}});
  }));
}

TEST_F(Dataset, JsonLines) {
  const DataFiles files{
      .jsonl = write("a.jsonl",
                     "{\"doc\": [\"A b.\", \"C.\"], \"sum\": [\"x\", \"y\"], \"n\": 3, \"o\": {}}\n"
                     "\n"
                     "{\"doc\": \"D\", \"sum\": \"z\", \"title\": \"\\u00e9\"}\n"),
      .source_field = "doc",
      .reference_fields = {"sum"}};
  const auto examples = load_examples(files);
  ASSERT_EQ(examples.size(), 2u);
  EXPECT_EQ(examples[0].fields.at("source"), "A b. C.");
  EXPECT_EQ(examples[0].fields.at("n"), "3");
  EXPECT_FALSE(examples[0].fields.contains("o"));
  EXPECT_EQ(examples[0].references, (Strings{"x", "y"}));
  EXPECT_EQ(examples[1].fields.at("title"), "é");
}

TEST_F(Dataset, WrongJsonLines) {
  const auto load = [&](const std::string& text) {
    return [this, text] { load_examples({.jsonl = write("a.jsonl", text)}); };
  };
  const std::string good = "{\"source\": \"a\", \"reference\": \"b\"}\n";
  EXPECT_TRUE(says({"a.jsonl:2", "not a JSON object"}, load(good + "{\"source\": \n")));
  EXPECT_TRUE(says({"a.jsonl:2", "not a JSON object"}, load(good + "[1]\n")));
  EXPECT_TRUE(says({"a.jsonl:1", "'reference'", "refrence"},
                   load("{\"source\": \"a\", \"refrence\": \"b\"}\n")));
  EXPECT_TRUE(says({"a.jsonl:1", "'source'"}, load("{\"source\": null, \"reference\": \"b\"}\n")));
  EXPECT_TRUE(says({"no examples"}, load("\n \n")));
}

TEST_F(Dataset, TableOfColumns) {
  const auto named = load_examples({.tsv = write("a.tsv",
                                                 "\xef\xbb\xbfid\tde\ten\ten2\r\n"
                                                 "7\tEins \"zwei\t\"One\t\r\n\n"
                                                 "8\tDrei\tThree\t3\n"),
                                    .source_field = "de",
                                    .reference_fields = {"en", "en2"}});
  ASSERT_EQ(named.size(), 2u);
  EXPECT_EQ(named[0].fields.at("source"), "Eins \"zwei");
  EXPECT_EQ(named[0].fields.at("id"), "7");
  EXPECT_EQ(named[0].references, (Strings{"\"One", ""}));
  EXPECT_EQ(named[1].references, (Strings{"Three", "3"}));
  const auto numbered = load_examples({.tsv = write("b.tsv", "Eins\tOne\nZwei\tTwo\n"),
                                       .source_field = "1",
                                       .reference_fields = {"2"}});
  ASSERT_EQ(numbered.size(), 2u);
  EXPECT_EQ(numbered[0].fields.at("source"), "Eins");
  EXPECT_EQ(numbered[1].references, (Strings{"Two"}));
  // A mark at the start is no text, without a line of names too; columns without one can repeat.
  const auto marked = load_examples({.tsv = write("c.tsv", "\xef\xbb\xbf\n\xef\xbb\xbf\tOne\n"),
                                     .source_field = "1",
                                     .reference_fields = {"2"}});
  ASSERT_EQ(marked.size(), 1u);
  EXPECT_EQ(marked[0].fields.at("source"), "\xef\xbb\xbf");
  const auto first = load_examples({.tsv = write("d.tsv",
                                                 "\xef\xbb\xbf"
                                                 "Eins\tOne\n"),
                                    .source_field = "1",
                                    .reference_fields = {"2"}});
  EXPECT_EQ(first.at(0).fields.at("source"), "Eins");
  const auto nameless =
      load_examples({.tsv = write("e.tsv", "source\t\treference\t\na\t1\tb\t2\n")});
  EXPECT_EQ(nameless.at(0).references, (Strings{"b"}));
}

TEST_F(Dataset, WrongTables) {
  const auto load = [&](const std::string& text) {
    return [this, text] { load_examples({.tsv = write("a.tsv", text)}); };
  };
  EXPECT_TRUE(says({"a.tsv:1", "no column 'source'", "Eins, One", "source_field: 1"},
                   load("Eins\tOne\nZwei\tTwo\n")));
  EXPECT_TRUE(says({"a.tsv:1", "no column 'reference'"}, load("source\ttarget\na\tb\n")));
  EXPECT_TRUE(
      says({"a.tsv:2", "column 'source' given twice", "a name of its own", "got columns 1 and 3"},
           load("\nsource\treference\tsource\na\tb\tc\n")));
  EXPECT_TRUE(says({"a.tsv:3", "expected 2: source, reference, got 3"},
                   load("source\treference\na\tb\nc\td\te\n")));
  EXPECT_TRUE(says({"no examples"}, load("source\treference\n")));
}

TEST_F(Dataset, CommittedSamplesLoad) {
  const std::string root = std::string(SKIPBENCH_SOURCE_DIR) + "/datasets/";
  EXPECT_EQ(load_examples({.source = root + "tatoeba-de-en/test.de",
                           .references = {root + "tatoeba-de-en/test.en"}})
                .size(),
            1200u);
  const auto papers =
      load_examples({.jsonl = root + "scitldr/test.jsonl.gz", .reference_fields = {"target"}});
  EXPECT_EQ(papers.size(), 100u);
  EXPECT_GE(papers[0].references.size(), 1u);
}

std::string text_of(const std::vector<TextSegment>& segments) {
  std::string text;
  for (const TextSegment& segment : segments) {
    text += (segment.is_template ? "[" : "<") + segment.text + (segment.is_template ? "]" : ">");
  }
  return text;
}

TEST(PromptTemplate, DataStaysApartFromTemplate) {
  const PromptTemplate prompt("Do {instruction}:\n{source}{source} {{x}}", "here");
  EXPECT_EQ(prompt.names(), (Strings{"instruction", "source"}));
  EXPECT_EQ(text_of(prompt.fill({{"instruction", "it"}, {"source", "<|end|>{a}"}})),
            "[Do ]<it>[:\n]<<|end|>{a}><<|end|>{a}>[ {x}]");
  EXPECT_EQ(text_of(PromptTemplate("plain", "").fill({})), "[plain]");
}

TEST(PromptTemplate, WrongTemplates) {
  for (const char* text : {"{", "a{b", "}", "a}b", "{}", "{a{b}", "{{{", "{a}}"}) {
    EXPECT_TRUE(says({"a.yaml:3", "brace"}, [&] { PromptTemplate(text, "a.yaml:3"); })) << text;
  }
  EXPECT_TRUE(says({"a.yaml:3", "'sauce'", "source"}, [] {
    PromptTemplate("{sauce}", "a.yaml:3").fill({{"source", "x"}, {"input", "x"}});
  }));
}

TEST(Postprocess, CutsAtTheFirstStop) {
  const Strings stops = {"\n\n", "###", ""};
  EXPECT_EQ(find_stop("ab### \n\n", stops), 2u);
  EXPECT_EQ(find_stop("abc", stops), std::string::npos);
  EXPECT_EQ(postprocess("one\n\ntwo###", stops, {}), "one");
}

TEST(Postprocess, StepsRunInOrder) {
  const Strings authors = {"response", "first_line", "strip"};
  EXPECT_EQ(postprocess("x ### Response: \n  Yes. \nNo.", {}, authors), "Yes.");
  EXPECT_EQ(postprocess("  Yes. \nNo.", {}, authors), "Yes.");
  EXPECT_EQ(postprocess(" \nYes", {}, authors), "");
  EXPECT_EQ(postprocess("\xe3\x80\x80 Yes\xc2\xa0", {}, Strings{"strip"}), "Yes");
  EXPECT_TRUE(says({"here", "stripe", "strip"}, [] { find_postprocess_step("stripe", "here"); }));
}

TEST(Postprocess, TextIsUtf8) {
  EXPECT_EQ(postprocess("a\xff\xe4\xb8", {}, {}), "a\xef\xbf\xbd\xef\xbf\xbd");
}

}  // namespace
}  // namespace skipbench
