// Lines that a command reads, at once or as they come.
#pragma once

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <functional>
#include <istream>
#include <span>
#include <string>
#include <vector>

namespace skipbench {

// A file, or standard input for "-". Lines end at LF only; a last line without LF counts.
class InputLines {
 public:
  // Throws Error naming the file when it cannot be read.
  explicit InputLines(const std::string& path);
  InputLines(const InputLines&) = delete;
  InputLines& operator=(const InputLines&) = delete;

  // Waits for the next line; false at the end. Throws Error for a line too long to be one, and when
  // reading fails.
  bool next(std::string* line);

 private:
  std::string path_;
  std::ifstream file_;
  std::istream* in_;
};

// All of it. Throws as InputLines does.
std::vector<std::string> read_input_lines(const std::string& path);

// Whether `path` may still be written to while it is read: standard input or a pipe.
bool is_stream(const std::string& path);

// Calls `work` with the items that `parse(line, index)` makes of `lines`, `batch` at a time, and
// the first one's index. All are made before the first batch, so that a wrong line costs no work.
template <typename Item>
void work_in_batches(const std::vector<std::string>& lines, size_t batch,
                     const std::function<Item(const std::string&, size_t)>& parse,
                     const std::function<void(std::span<const Item>, size_t)>& work) {
  std::vector<Item> items;
  for (size_t i = 0; i < lines.size(); ++i) items.push_back(parse(lines[i], i));
  for (size_t first = 0; first < items.size(); first += batch) {
    work(std::span(items).subspan(first, std::min(batch, items.size() - first)), first);
  }
}

// The same of a file's lines; those of a stream are worked on as soon as a batch of them is there.
template <typename Item>
void work_in_batches(const std::string& path, size_t batch,
                     const std::function<Item(const std::string&, size_t)>& parse,
                     const std::function<void(std::span<const Item>, size_t)>& work) {
  if (!is_stream(path)) return work_in_batches(read_input_lines(path), batch, parse, work);
  InputLines lines(path);
  std::vector<Item> items;
  size_t first = 0;
  for (std::string line; lines.next(&line);) {
    items.push_back(parse(line, first + items.size()));
    if (items.size() < batch) continue;
    work(items, first);
    first += items.size();
    items.clear();
  }
  if (!items.empty()) work(items, first);
}

}  // namespace skipbench
