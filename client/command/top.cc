#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "client/command/commands.h"
#include "client/command/interrupt.h"
#include "client/command/proto_json.h"
#include "client/command/top_text.h"
#include "engine/command_line/program.h"

namespace hearth {
namespace {

constexpr int kRefreshMs = 1000;
constexpr size_t kLineBytes = 160;  // where nobody says how wide the terminal is
constexpr char kOtherScreen[] = "\x1b[?1049h\x1b[?25l";
constexpr char kOwnScreen[] = "\x1b[?25h\x1b[?1049l";
constexpr char kFromTheTop[] = "\x1b[H";
constexpr char kClearLine[] = "\x1b[K\r\n";
constexpr char kClearBelow[] = "\x1b[J";

absl::StatusOr<TopLook> Look(Client& client) {
  TopLook look;
  auto cluster = client.GetCluster();
  if (!cluster.ok()) return cluster.status();
  auto models = client.ListModels();
  if (!models.ok()) return models.status();
  look.cluster = *std::move(cluster);
  look.models = *std::move(models);
  look.seconds = absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch());
  return look;
}

// The terminal's second screen, without echo, so that a key is read as it is pressed; as it was afterwards.
class Screen {
 public:
  Screen() {
    keys_ = isatty(STDIN_FILENO) != 0 && tcgetattr(STDIN_FILENO, &before_) == 0;
    if (keys_) {
      termios raw = before_;
      raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
      tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    Print(kOtherScreen).IgnoreError();
  }
  ~Screen() {
    Print(kOwnScreen).IgnoreError();
    if (keys_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  static winsize Size() {
    winsize size{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row < 2)
      size = {24, 80, 0, 0};
    return size;
  }

  static absl::Status Show(const std::string& picture) {
    return Print(absl::StrCat(kFromTheTop, absl::StrReplaceAll(picture, {{"\n", kClearLine}}), kClearBelow));
  }

  // Waits for the next picture's time; false where q or the end of the input came first.
  bool Wait() const {
    pollfd key{keys_ ? STDIN_FILENO : -1, POLLIN, 0};
    if (poll(&key, 1, kRefreshMs) <= 0) return true;
    char pressed = 'q';
    return read(STDIN_FILENO, &pressed, 1) == 1 && pressed != 'q' && pressed != 'Q';
  }

 private:
  bool keys_ = false;
  termios before_{};
};

absl::Status ShowOnce(Client& client, bool json) {
  const auto look = Look(client);
  if (!look.ok()) return look.status();
  if (!json) return Print(TopText(*look, nullptr, kLineBytes, 0));
  nlohmann::ordered_json both = ToJson(look->cluster);
  both["models"] = ToJson(look->models).at("models");
  return Print(both.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace

absl::Status RunTop(Client& client, bool once, bool json) {
  if (once || json || isatty(STDOUT_FILENO) == 0) return ShowOnce(client, json);
  absl::StatusOr<TopLook> look = Look(client);
  if (!look.ok()) return look.status();
  std::optional<TopLook> before;
  std::atomic<bool> stopped = false;
  const Interrupt::Handler on_interrupt([&stopped] { stopped = true; });
  const Screen screen;
  while (!stopped) {
    const winsize size = Screen::Size();
    const std::string picture =
        look.ok() ? absl::StrCat(TopText(*look, before ? &*before : nullptr, size.ws_col, size.ws_row - 1u),
                                 "q: end")
                  : absl::StrCat(look.status().message(), "\nq: end");
    if (absl::Status status = Screen::Show(picture); !status.ok()) return status;
    if (!screen.Wait()) break;
    if (look.ok()) before = *std::move(look);
    look = Look(client);
  }
  return absl::OkStatus();
}

}  // namespace hearth
