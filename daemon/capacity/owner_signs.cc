#include "daemon/capacity/owner_signs.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

// The first word of a file of one line; empty where there is none.
std::string ReadWord(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

// The names in a directory, those that begin so; none where it cannot be read.
std::vector<std::string> Names(const std::string& directory, std::string_view prefix = "") {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(prefix)) names.push_back(name);
  }
  return names;
}

// Whether there is a battery and no source of power is connected.
bool OnBattery(const std::string& root) {
  const std::string directory = root + "/sys/class/power_supply/";
  bool battery = false;
  for (const std::string& name : Names(directory)) {
    const std::string supply = directory + name;
    const std::string type = ReadWord(supply + "/type");
    // A mouse has a battery as well.
    if (type == "Battery") battery |= ReadWord(supply + "/scope") != "Device";
    if ((type == "Mains" || type == "USB") && ReadWord(supply + "/online") == "1") return false;
  }
  return battery;
}

bool LidClosed(const std::string& root) {
  const std::string directory = root + "/proc/acpi/button/lid/";
  for (const std::string& name : Names(directory)) {
    std::ifstream file(directory + name + "/state");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (absl::StrContains(text, "closed")) return true;
  }
  return false;
}

// What AMD's driver says of each of its cards; Hearth does not compute on them.
double AmdShare(const std::string& root) {
  const std::string directory = root + "/sys/class/drm/";
  double share = 0;
  for (const std::string& name : Names(directory, "card")) {
    double percent = 0;
    if (absl::SimpleAtod(ReadWord(directory + name + "/device/gpu_busy_percent"), &percent)) {
      share = std::max(share, percent / 100);
    }
  }
  return share;
}

// "some avg10=1.23 avg60=..." of the kernel's pressure figures.
double MemoryStall(const std::string& root) {
  std::ifstream file(root + "/proc/pressure/memory");
  std::string kind, average;
  double percent = 0;
  if (!(file >> kind >> average) || kind != "some" || !average.starts_with("avg10=")) return 0;
  return absl::SimpleAtod(average.substr(6), &percent) ? percent / 100 : 0;
}

}  // namespace

OwnerWatch::OwnerWatch(std::string root)
    : root_(std::move(root)), nvidia_(root_.empty() ? std::make_unique<NvmlUse>() : nullptr) {
  last_ = ReadCpuTime();
}

OwnerSigns OwnerWatch::Look() {
  const CpuTime now = ReadCpuTime();
  const CpuTime before = std::exchange(last_, now);
  OwnerSigns signs;
  signs.on_battery = OnBattery(root_);
  signs.lid_closed = LidClosed(root_);
  signs.gpu_share = std::max(AmdShare(root_), nvidia_ == nullptr ? 0 : nvidia_->ShareOfOthers());
  signs.memory_stall = MemoryStall(root_);
  if (now.total > before.total && now.busy >= before.busy && now.own >= before.own) {
    const auto busy = static_cast<double>(now.busy - before.busy);
    const auto own = static_cast<double>(now.own - before.own);
    signs.cpu_share = std::max(busy - own, 0.0) / static_cast<double>(now.total - before.total);
  }
  return signs;
}

bool OwnerWatch::HasDisplay() const {
  const std::string directory = root_ + "/sys/class/drm/";
  for (const std::string& name : Names(directory, "card")) {
    if (ReadWord(directory + name + "/status") == "connected") return true;
  }
  return false;
}

OwnerWatch::CpuTime OwnerWatch::ReadCpuTime() const {
  CpuTime time;
  {
    std::ifstream file(root_ + "/proc/stat");
    std::string cpu;
    // user nice system idle iowait irq softirq steal; guests are in user already.
    uint64_t ticks[8] = {};
    file >> cpu;
    for (uint64_t& count : ticks) file >> count;
    if (!file || cpu != "cpu") return {};
    for (const uint64_t count : ticks) time.total += count;
    time.busy = ticks[0] + ticks[2] + ticks[5] + ticks[6];
  }
  std::ifstream file(root_ + "/proc/self/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  // Behind the program's name, which may have blanks and parentheses: 11 fields, then user and system time.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  uint64_t user = 0, system = 0;
  if (!(fields >> user >> system)) return {};
  time.own = user + system;
  return time;
}

}  // namespace hearth
