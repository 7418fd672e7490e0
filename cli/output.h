// Standard output, checked: a full disk is an error, a reader that has left ends the command.
#pragma once

#include <string>

namespace skipbench {

// Flushes standard output. Throws ExitWith{kInterrupted} when the reader of a pipe has closed it
// (`skipbench ... | head -1`), and Error when the output could not be written otherwise.
void flush_output();

// Throws Error for a file to write, named by `flag`, that is `input` or holds a database.
void check_output(const std::string& path, const std::string& input, const std::string& flag);

// Writes a whole file, over one that is there. Throws Error when it cannot.
void write_file(const std::string& path, const std::string& bytes);

}  // namespace skipbench
