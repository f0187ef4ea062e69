#ifndef HEARTH_ENGINE_COMMAND_LINE_PROGRESS_H_
#define HEARTH_ENGINE_COMMAND_LINE_PROGRESS_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace hearth {

// "[######........]  40 %  text", at most `columns` characters. A total of 0 is an unknown one: an empty bar.
// Characters of `text` that would do something to a terminal are escaped.
std::string ProgressBar(uint64_t done, uint64_t total, std::string_view text, int columns);

// One line on stderr that is written over and over, where stderr is a terminal; else nothing is shown. Gone
// when the object is.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  bool on_terminal() const { return terminal_; }
  void Show(uint64_t done, uint64_t total, std::string_view text);

 private:
  const bool terminal_;
  bool shown_ = false;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_COMMAND_LINE_PROGRESS_H_
