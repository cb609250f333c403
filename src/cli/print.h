// The one place that prints: data on stdout, messages on stderr, and how far a command is, on a terminal.
//
// Much of it came from a server or an archive, which may be anybody's. What could steer a terminal, hide or reorder text is
// shown instead of obeyed: in messages always, in data if stdout is a terminal (a pipe gets the bytes as they are).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace dtr::cli {

// Control characters (C0, C1, DEL; also TAB and line ends), characters that change the direction of text or are not to be
// seen, and the line separators of Unicode as \u001b; bytes that are not UTF-8 as \x9b.
std::string visible(std::string_view text);

// A line of data on stdout. TABs between fields stay.
void print_line(std::string_view line);
// Whether all of it could be written, at the end of a command.
Status flush_data();

// "<program>: <text>" on stderr.
void say(std::string_view text);

// The same without the program's name: a report for machines, where stdout is an archive.
void say_json(std::string_view json);

// The line that is replaced by the next one, or by whatever is printed. Only on a terminal.
void show_progress(std::string_view line);
void clear_progress();

}  // namespace dtr::cli
