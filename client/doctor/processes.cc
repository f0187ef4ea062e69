#include "client/doctor/processes.h"

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace hearth {
namespace {

constexpr char kListening[] = "0A";

std::vector<std::string> AllProcesses(const SystemFiles& files) {
  std::vector<std::string> processes = files.Names("/proc");
  std::erase_if(processes, [](const std::string& name) {
    return !std::all_of(name.begin(), name.end(), [](char c) { return absl::ascii_isdigit(c); });
  });
  return processes;
}

// The names of the processes that hold sockets, by "socket:[NUMBER]".
std::map<std::string, std::string> SocketOwners(const SystemFiles& files) {
  std::map<std::string, std::string> owners;
  for (const std::string& process : AllProcesses(files)) {
    const std::string folder = absl::StrCat("/proc/", process, "/fd/");
    for (const std::string& number : files.Names(folder)) {
      const std::string linked = files.LinkedName(folder + number);
      if (linked.starts_with("socket:"))
        owners[linked] = files.Word(absl::StrCat("/proc/", process, "/comm"));
    }
  }
  return owners;
}

// 127.0.0.0/8, ::1 and ::ffff:127.0.0.0/104, as the kernel writes addresses: words of the machine's order.
bool IsLoopback(absl::string_view address) {
  if (address.size() == 8) return address.substr(6) == "7F";
  if (address.size() != 32) return false;
  return address == "00000000000000000000000001000000" ||
         (address.substr(0, 24) == "0000000000000000FFFF0000" && address.substr(30) == "7F");
}

}  // namespace

std::vector<std::string> ProcessesNamed(const SystemFiles& files, std::string_view name) {
  std::vector<std::string> processes = AllProcesses(files);
  std::erase_if(processes, [&](const std::string& process) {
    return files.Word(absl::StrCat("/proc/", process, "/comm")) != name;
  });
  return processes;
}

std::vector<ListeningPort> ListeningPorts(const SystemFiles& files) {
  const std::map<std::string, std::string> owners = SocketOwners(files);
  std::vector<ListeningPort> ports;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    const std::string text = files.Text(table);
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      // "0: 0100007F:1E5A 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 INODE ..."
      const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
      if (words.size() < 10 || words[3] != kListening) continue;
      const std::pair<absl::string_view, absl::string_view> local =
          absl::StrSplit(words[1], absl::MaxSplits(':', 1));
      uint32_t port = 0;
      if (!absl::SimpleHexAtoi(local.second, &port) || port > 65535) continue;
      const auto owner = owners.find(absl::StrCat("socket:[", words[9], "]"));
      ports.push_back(
          {static_cast<uint16_t>(port), IsLoopback(local.first), owner == owners.end() ? "" : owner->second});
    }
  }
  return ports;
}

}  // namespace hearth
