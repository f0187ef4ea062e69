#include "client/doctor/network_checks.h"

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace hearth {
namespace {

constexpr int64_t kUsualMtu = 1500;
constexpr int64_t kGigabit = 1000;  // Mbit/s

bool NamesLanPort(const std::string& rules) { return absl::StrContains(rules, absl::StrCat(kLanPort)); }

struct Firewall {
  std::string name;  // empty: none that keeps anybody out
  std::string remedy;
};

// Zones of firewalld are read together: a port that is open in one may be the right one.
std::string FirewalldRules(const SystemFiles& files) {
  std::string rules;
  for (const std::string& zone : files.Names("/etc/firewalld/zones"))
    rules += files.Text(absl::StrCat("/etc/firewalld/zones/", zone));
  return rules;
}

Firewall FindFirewall(const SystemFiles& files) {
  if (absl::StrContains("\n" + files.Text("/etc/ufw/ufw.conf"), "\nENABLED=yes")) {
    if (!NamesLanPort(files.Text("/etc/ufw/user.rules"))) return {"ufw", "sudo ufw allow 7771:7772/tcp"};
    return {};
  }
  if (files.Exists("/run/firewalld") && !NamesLanPort(FirewalldRules(files))) {
    return {"firewalld",
            "sudo firewall-cmd --permanent --add-port=7771-7772/tcp && sudo firewall-cmd --reload"};
  }
  const std::string nft = files.Text("/etc/nftables.conf");
  if (absl::StrContains(nft, "hook input") && absl::StrContains(nft, "policy drop") && !NamesLanPort(nft))
    return {"nftables (/etc/nftables.conf)",
            "sudo nft add rule inet filter input tcp dport 7771-7772 accept, and the same into the file"};
  const std::string iptables = files.Text("/etc/iptables/rules.v4");
  if (absl::StrContains(iptables, ":INPUT DROP") && !NamesLanPort(iptables))
    return {"iptables (/etc/iptables/rules.v4)",
            "sudo iptables -I INPUT -p tcp --dport 7771:7772 -j ACCEPT, and the same into the file"};
  return {};
}

int64_t Number(const SystemFiles& files, const std::string& path) {
  int64_t number = 0;
  return absl::SimpleAtoi(files.Word(path), &number) ? number : 0;
}

// The interfaces of default routes, else all hardware that is up.
std::set<std::string> InterfacesInUse(const SystemFiles& files) {
  std::set<std::string> used;
  const std::string routes = files.Text("/proc/net/route");
  for (const absl::string_view line : absl::StrSplit(routes, '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.size() > 1 && words[1] == "00000000") used.insert(words[0]);
  }
  if (!used.empty()) return used;
  for (const std::string& name : files.Names("/sys/class/net")) {
    const std::string folder = "/sys/class/net/" + name;
    if (files.Exists(folder + "/device") && files.Word(folder + "/operstate") == "up") used.insert(name);
  }
  return used;
}

// Adds a finding for what makes tokens slow there; false where nothing does.
bool AddTroubles(const SystemFiles& files, const std::string& name, Findings& findings) {
  const std::string folder = "/sys/class/net/" + name;
  const size_t before = findings.size();
  const int64_t speed = Number(files, folder + "/speed"), mtu = Number(files, folder + "/mtu");
  if (files.Exists(folder + "/wireless") || files.Exists(folder + "/phy80211")) {
    AddWarning(
        findings, "network", absl::StrCat(name, " is Wi-Fi"),
        "hosts meet several times for each token: 2 to 10 ms each in place of 0.2 by wire, and plans use "
        "this machine less",
        "connect the machines that compute by cable");
  } else if (speed > 0 && speed < kGigabit) {
    AddWarning(
        findings, "network", absl::StrCat(name, " runs at ", speed, " Mbit/s"),
        "weights take ten times as long to arrive as by a gigabit, and prompts on several machines wait",
        "look at the cable (all eight wires, Cat 5e or better), the switch, and: ethtool " + name);
  }
  if (files.Word(folder + "/duplex") == "half") {
    AddWarning(findings, "network", name + " sends or receives, never both (half duplex)",
               "packets collide and are sent again after a wait",
               "let both ends negotiate: ethtool -s " + name + " autoneg on");
  }
  if (mtu > 0 && mtu != kUsualMtu) {
    AddWarning(
        findings, "network", absl::StrCat(name, " has packets of ", mtu, " bytes (MTU)"),
        mtu < kUsualMtu ? "more packets for the same bytes; often a tunnel or VPN, which costs time as well"
                        : "where the switch or another machine has less, large messages vanish and hosts "
                          "are lost whenever they compute",
        absl::StrCat("the same on all machines, 1500 if in doubt: sudo ip link set ", name, " mtu 1500"));
  }
  return findings.size() > before;
}

}  // namespace

void CheckFirewall(const SystemFiles& files, const std::vector<ListeningPort>& ports, Findings& findings) {
  const bool open = std::any_of(ports.begin(), ports.end(), [](const ListeningPort& port) {
    return port.port == kLanPort && !port.loopback;
  });
  if (!open) {
    return AddGood(findings, "firewall",
                   absl::StrCat("nothing of Hearth is open to other machines at port ", kLanPort));
  }
  const Firewall firewall = FindFirewall(files);
  if (firewall.name.empty())
    return AddGood(findings, "firewall", "no settings that this user may read close the home's ports");
  AddWarning(findings, "firewall",
             absl::StrCat(firewall.name, " does not name the home's ports ", kLanPort, " and ", kLanPort + 1),
             "other machines cannot join, or are lost", firewall.remedy);
}

void CheckInterfaces(const SystemFiles& files, Findings& findings) {
  bool troubles = false;
  std::string names;
  for (const std::string& name : InterfacesInUse(files)) {
    troubles |= AddTroubles(files, name, findings);
    absl::StrAppend(&names, names.empty() ? "" : ", ", name);
  }
  if (troubles) return;
  AddGood(findings, "network",
          names.empty() ? "no way to other machines" : names + ": wire, packets of 1500 bytes");
}

void CheckHttpPort(const std::vector<ListeningPort>& ports, Findings& findings) {
  for (const ListeningPort& port : ports) {
    if (port.port != kHttpPort || port.process.empty() || port.process == kDaemonProcess) continue;
    return AddWarning(findings, "dashboard", absl::StrCat("port ", kHttpPort, " is that of ", port.process),
                      "hearthd has no dashboard and no port for OpenAI's clients",
                      "end that program, or choose another port: hearthd --http 127.0.0.1:7790");
  }
}

}  // namespace hearth
