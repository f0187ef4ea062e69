#ifndef HEARTH_ENGINE_COMMAND_LINE_FLAGS_H_
#define HEARTH_ENGINE_COMMAND_LINE_FLAGS_H_

#include <CLI/CLI.hpp>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace hearth {

// How the values of flags are written: the same in every program, and an error says what is allowed.

// Decimal digits alone, from `lowest` to `highest`.
absl::StatusOr<uint64_t> ParseWholeNumber(std::string_view text, uint64_t lowest, uint64_t highest);

// A finite decimal number, from `lowest` to `highest`. `above`: `lowest` itself is not allowed.
absl::StatusOr<double> ParseDecimal(std::string_view text, double lowest, double highest, bool above = false);

// "1,2,3" as token ids from 0 to 2^31 - 1: at least one, nothing between commas left out.
absl::StatusOr<std::vector<int32_t>> ParseTokenIds(std::string_view text);

// HOST:PORT or [IPV6]:PORT with a port from `lowest_port` to 65535.
absl::Status CheckAddress(std::string_view address, int lowest_port);

// Adds a flag whose text `parse` reads; its error is shown with the flag's name.
CLI::Option* AddParsed(CLI::App& app, const std::string& name, const std::string& type_name,
                       std::function<absl::Status(const std::string&)> parse, const std::string& help);

// Adds a flag for a whole number. `set` gets what was given.
template <std::unsigned_integral T>
CLI::Option* AddWholeNumber(CLI::App& app, const std::string& name, std::function<void(T)> set,
                            const std::string& help, T lowest = 0,
                            T highest = std::numeric_limits<T>::max()) {
  return AddParsed(
      app, name, "N",
      [=](const std::string& text) {
        const absl::StatusOr<uint64_t> number = ParseWholeNumber(text, lowest, highest);
        if (number.ok()) set(static_cast<T>(*number));
        return number.status();
      },
      help);
}

// Likewise; `target` has the default, which --help shows unless it stands for something else
// (`show_default`).
template <std::unsigned_integral T>
CLI::Option* AddWholeNumber(CLI::App& app, const std::string& name, T& target, const std::string& help,
                            T lowest = 0, T highest = std::numeric_limits<T>::max(),
                            bool show_default = true) {
  CLI::Option* option = AddWholeNumber<T>(
      app, name, [&target](T number) { target = number; }, help, lowest, highest);
  if (show_default) option->default_str(absl::StrCat(target));
  return option;
}

// Adds a flag for a decimal number, such as 0.8.
CLI::Option* AddDecimal(CLI::App& app, const std::string& name, std::function<void(double)> set,
                        const std::string& help);
CLI::Option* AddDecimal(CLI::App& app, const std::string& name, float& target, const std::string& help);

// Adds a flag for a time in seconds, more than 0 and at most a year.
CLI::Option* AddSeconds(CLI::App& app, const std::string& name, std::function<void(double)> set,
                        const std::string& help);

}  // namespace hearth

#endif  // HEARTH_ENGINE_COMMAND_LINE_FLAGS_H_
