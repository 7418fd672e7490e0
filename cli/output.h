// Standard output, checked: a full disk is an error, a reader that has left ends the command.
#pragma once

namespace skipbench {

// Flushes standard output. Throws ExitWith{kInterrupted} when the reader of a pipe has closed it
// (`skipbench ... | head -1`), and Error when the output could not be written otherwise.
void flush_output();

}  // namespace skipbench
