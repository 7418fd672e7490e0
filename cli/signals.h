// What signals do to a command: they end it with an exit code, never by killing it.
#pragma once

namespace skipbench {

// ^C (SIGINT) and SIGTERM end with ExitCode::kInterrupted, unless they were ignored when the
// program started; a command that has something to finish (`run`) takes them over. A write to a
// pipe without a reader fails instead of killing (flush_output says what follows). A model file
// that is cut short while it is mapped (SIGBUS) ends with ExitCode::kWrongInput and a message.
void install_signal_handlers();

}  // namespace skipbench
