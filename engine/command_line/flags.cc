#include "engine/command_line/flags.h"

#include <charconv>
#include <cmath>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

constexpr double kLongestSeconds = 365 * 86400.0;
constexpr size_t kMaxShownBytes = 64;

// The whole of `text` as a number; false for anything else, also for what does not fit.
template <typename T, typename... Format>
bool Read(std::string_view text, T& number, Format... format) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, format...);
  return error == std::errc() && end == text.data() + text.size();
}

absl::Status NotA(std::string_view text, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", Printable(AbslView(text), kMaxShownBytes), "\" is no ", what));
}

}  // namespace

absl::StatusOr<uint64_t> ParseWholeNumber(std::string_view text, uint64_t lowest, uint64_t highest) {
  uint64_t number = 0;
  if (Read(text, number) && number >= lowest && number <= highest) return number;
  return NotA(text, absl::StrCat("whole number from ", lowest, " to ", highest));
}

absl::StatusOr<double> ParseDecimal(std::string_view text, double lowest, double highest, bool above) {
  double number = 0;
  const bool read = Read(text, number, std::chars_format::general) && std::isfinite(number);
  if (read && number <= highest && (above ? number > lowest : number >= lowest)) return number;
  if (lowest == -highest) return NotA(text, "number such as 0.8");
  return NotA(text, absl::StrFormat("number %s %.9g %s %.9g", above ? "above" : "from", lowest,
                                    above ? "up to" : "to", highest));
}

absl::StatusOr<std::vector<int32_t>> ParseTokenIds(std::string_view text) {
  std::vector<int32_t> tokens;
  for (const absl::string_view part : absl::StrSplit(AbslView(text), ',')) {
    const std::string_view digits(part.data(), part.size());
    int32_t& token = tokens.emplace_back();
    if (!Read(digits, token) || token < 0) return NotA(digits, "token id; expected for example 1,2,3");
  }
  return tokens;
}

absl::Status CheckAddress(std::string_view address, int lowest_port) {
  const size_t colon = address.rfind(':');
  int port = -1;
  const bool good = colon != std::string_view::npos && colon > 0 && Read(address.substr(colon + 1), port) &&
                    port >= lowest_port && port <= 65535 &&
                    (address.find(':') == colon || (address.front() == '[' && address[colon - 1] == ']'));
  if (good && address.find_first_of(" /\t\n") == std::string_view::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("'", Printable(AbslView(address), kMaxShownBytes),
                                                 "' is no HOST:PORT with a port from ", lowest_port,
                                                 " to 65535, such as 127.0.0.1:7770"));
}

CLI::Option* AddParsed(CLI::App& app, const std::string& name, const std::string& type_name,
                       std::function<absl::Status(const std::string&)> parse, const std::string& help) {
  const std::string shown = name.substr(name.rfind(',') + 1);
  return app
      .add_option_function<std::string>(
          name,
          [shown, parse = std::move(parse)](const std::string& text) {
            const absl::Status status = parse(text);
            if (!status.ok()) throw CLI::ValidationError(shown, std::string(status.message()));
          },
          help)
      ->type_name(type_name);
}

CLI::Option* AddDecimal(CLI::App& app, const std::string& name, std::function<void(double)> set,
                        const std::string& help) {
  constexpr double kHighest = std::numeric_limits<float>::max();
  return AddParsed(
      app, name, "NUMBER",
      [set = std::move(set)](const std::string& text) {
        const absl::StatusOr<double> number = ParseDecimal(text, -kHighest, kHighest);
        if (number.ok()) set(*number);
        return number.status();
      },
      help);
}

CLI::Option* AddDecimal(CLI::App& app, const std::string& name, float& target, const std::string& help) {
  return AddDecimal(
             app, name, [&target](double number) { target = static_cast<float>(number); }, help)
      ->default_str(absl::StrCat(target));
}

CLI::Option* AddSeconds(CLI::App& app, const std::string& name, std::function<void(double)> set,
                        const std::string& help) {
  return AddParsed(
      app, name, "SECONDS",
      [set = std::move(set)](const std::string& text) {
        const absl::StatusOr<double> seconds = ParseDecimal(text, 0, kLongestSeconds, /*above=*/true);
        if (seconds.ok()) set(*seconds);
        return seconds.status();
      },
      help);
}

}  // namespace hearth
