#include "daemon/capacity/owner_signs.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "engine/base/system_files.h"

namespace hearth {
namespace {

// Whether there is a battery and no source of power is connected.
bool OnBattery(const SystemFiles& files) {
  const std::string directory = "/sys/class/power_supply/";
  bool battery = false;
  for (const std::string& name : files.Names(directory)) {
    const std::string supply = directory + name;
    const std::string type = files.Word(supply + "/type");
    // A mouse has a battery as well.
    if (type == "Battery") battery |= files.Word(supply + "/scope") != "Device";
    if ((type == "Mains" || type == "USB") && files.Word(supply + "/online") == "1") return false;
  }
  return battery;
}

bool LidClosed(const SystemFiles& files) {
  const std::string directory = "/proc/acpi/button/lid/";
  for (const std::string& name : files.Names(directory)) {
    if (absl::StrContains(files.Text(directory + name + "/state"), "closed")) return true;
  }
  return false;
}

// What AMD's driver says of each of its cards; Hearth does not compute on them.
double AmdShare(const SystemFiles& files) {
  const std::string directory = "/sys/class/drm/";
  double share = 0;
  for (const std::string& name : files.Names(directory, "card")) {
    double percent = 0;
    if (absl::SimpleAtod(files.Word(directory + name + "/device/gpu_busy_percent"), &percent)) {
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
  const SystemFiles files(root_);
  OwnerSigns signs;
  signs.on_battery = OnBattery(files);
  signs.lid_closed = LidClosed(files);
  signs.gpu_share = std::max(AmdShare(files), nvidia_ == nullptr ? 0 : nvidia_->ShareOfOthers());
  signs.memory_stall = MemoryStall(root_);
  if (now.total > before.total && now.busy >= before.busy && now.own >= before.own) {
    const auto busy = static_cast<double>(now.busy - before.busy);
    const auto own = static_cast<double>(now.own - before.own);
    signs.cpu_share = std::max(busy - own, 0.0) / static_cast<double>(now.total - before.total);
  }
  return signs;
}

bool OwnerWatch::HasDisplay() const {
  const SystemFiles files(root_);
  const std::string directory = "/sys/class/drm/";
  for (const std::string& name : files.Names(directory, "card")) {
    if (files.Word(directory + name + "/status") == "connected") return true;
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
