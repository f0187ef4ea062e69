#include "client/doctor/home_checks.h"

#include <algorithm>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/base/printable.h"
#include "proto/certificates.h"

namespace hearth {
namespace {

constexpr absl::Duration kSoon = absl::Hours(30 * 24);
constexpr double kSlowRoundTripUs = 3000;
// More than a sync and this look take together.
constexpr absl::Duration kClocksApart = absl::Seconds(5);

// Of "127.0.0.1:7770"; 0 where it names another machine.
uint32_t LocalPort(const std::string& server) {
  const size_t colon = server.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(server.substr(colon + 1), &port)) return 0;
  const std::string host = server.substr(0, colon);
  return host.starts_with("127.") || host == "localhost" || host == "[::1]" ? port : 0;
}

void AddDeafPort(const HomeView& home, const ListeningPort& port, Findings& findings) {
  const std::string why = Printable(home.cluster.status().message());
  if (port.process.empty()) {
    AddWrong(findings, "daemon",
             absl::StrCat("what listens at ", home.server, " does not answer as hearthd does: ", why),
             "no client reaches a model",
             absl::StrCat("see whose it is: sudo ss -tlnp sport = :", port.port));
  } else if (port.process == kDaemonProcess) {
    AddWrong(findings, "daemon", absl::StrCat("hearthd at ", home.server, " does not answer: ", why),
             "no client reaches a model",
             "sudo systemctl restart hearthd; its reasons: journalctl -u hearthd");
  } else {
    AddWrong(findings, "daemon",
             absl::StrCat("port ", port.port, " is that of ", port.process, ", not of hearthd"),
             "hearthd cannot start there, and no client reaches a model",
             "end that program, or choose another port: hearthd --listen 127.0.0.1:7790, hearth --server "
             "127.0.0.1:7790");
  }
}

// --- Certificates ---

// `what`: "the certificate of attic"; true where there is nothing to say.
bool CheckExpiry(const std::string& what, absl::Time until, absl::Time now, const std::string& remedy,
                 Findings& findings) {
  if (until > now + kSoon) return true;
  if (until > now) {
    AddWarning(findings, "certificates", absl::StrCat(what, " ends on ", DayText(until)),
               "from then on nobody lets its owner in", remedy);
  } else {
    AddWrong(findings, "certificates", absl::StrCat(what, " ended on ", DayText(until)),
             "nobody lets its owner in", remedy);
  }
  return false;
}

std::string RemedyFor(const v1::Member& member) {
  const std::string name = Printable(member.name());
  if (member.role() == v1::ROLE_HOST)
    return absl::StrCat("start hearthd there, which renews it; once it is over: hearth forget ", name,
                        ", then hearth invite here and hearthd --join CODE there");
  return absl::StrCat("hearth key revoke ", name, ", then hearth key create --client ", name);
}

}  // namespace

void CheckDaemon(const HomeView& home, const std::vector<ListeningPort>& ports, bool daemon_runs,
                 bool installed, Findings& findings) {
  if (home.cluster.ok()) return AddGood(findings, "daemon", absl::StrCat("hearthd answers at ", home.server));
  const uint32_t local = LocalPort(home.server);
  if (local == 0) {
    return AddWrong(
        findings, "daemon",
        absl::StrCat("no answer from ", home.server, ": ", Printable(home.cluster.status().message())),
        "no client here reaches a model",
        "see whether hearthd runs there, its port is open (hearth doctor, there), and the key counts (hearth "
        "key list)");
  }
  for (const ListeningPort& port : ports) {
    if (port.port == local) return AddDeafPort(home, port, findings);
  }
  const std::string what = absl::StrCat("no hearthd listens at ", home.server);
  if (daemon_runs) {
    AddWarning(findings, "daemon", absl::StrCat(what, ", but one runs on this machine"),
               "clients have to name its address",
               "hearth --server HOST:PORT or HEARTH_SERVER, as its first line or /run/hearth/port says");
  } else if (installed) {
    AddWrong(findings, "daemon", absl::StrCat(what, ", though the service is installed"),
             "no client reaches a model",
             "sudo systemctl enable --now hearthd; its reasons: journalctl -u hearthd");
  } else {
    AddWarning(findings, "daemon", what, "no client reaches a model", "hearthd --model FILE.gguf");
  }
}

void CheckHosts(const HomeView& home, const std::string& own_version, Findings& findings) {
  if (!home.cluster.ok()) return;
  std::vector<std::string> others, lost;
  for (const v1::HostStatus& host : home.cluster->hosts()) {
    if (!host.version().empty() && host.version() != own_version)
      others.push_back(absl::StrCat(Printable(host.name()), " has ", Printable(host.version())));
    if (host.state() == v1::HOST_STATE_LOST) lost.push_back(Printable(host.name()));
  }
  if (others.empty()) {
    AddGood(findings, "versions", absl::StrCat("this program and all hosts have ", own_version));
  } else {
    AddWarning(findings, "versions",
               absl::StrCat("this program has ", own_version, ", ", absl::StrJoin(others, ", ")),
               "what only the newer one knows is refused, and sums may differ in the last bits",
               "the same package everywhere: sudo apt install ./hearth_VERSION_ARCH.deb");
  }
  if (!lost.empty()) {
    AddWrong(findings, "hosts", absl::StrCat("lost: ", absl::StrJoin(lost, ", ")),
             "the others compute its share, or it does not fit",
             "start hearthd there again, or strike it off: hearth forget HOST (hearth status tells more)");
  }
  for (const v1::LinkStatus& link : home.cluster->links()) {
    if (link.round_trip_us() < kSlowRoundTripUs) continue;
    AddWarning(findings, "links",
               absl::StrFormat("a message from %s to %s and back takes %.1f ms", Printable(link.from()),
                               Printable(link.to()), link.round_trip_us() / 1e3),
               "hosts meet several times for each token; plans use the machine less or not at all",
               "a cable in place of Wi-Fi, and the same switch for both; see who else loads the network");
  }
}

void CheckClocks(const HomeView& home, absl::Time now, Findings& findings) {
  if (!home.cluster.ok()) return;
  std::vector<std::string> apart;
  size_t told = 0;
  for (const v1::HostStatus& host : home.cluster->hosts()) {
    if (host.clock_unix_ms() == 0 || host.state() == v1::HOST_STATE_LOST) continue;
    ++told;
    const absl::Duration ahead = absl::FromUnixMillis(host.clock_unix_ms()) - now;
    if (absl::AbsDuration(ahead) <= kClocksApart) continue;
    apart.push_back(
        absl::StrCat(Printable(host.name()), " is ",
                     absl::FormatDuration(absl::Floor(absl::AbsDuration(ahead), absl::Seconds(1))),
                     ahead > absl::ZeroDuration() ? " ahead" : " behind"));
  }
  if (!apart.empty()) {
    return AddWarning(
        findings, "clocks",
        absl::StrCat("beside this machine's, that of ", absl::StrJoin(apart, ", that of ")),
        "certificates begin and end at other times there, so that joining can fail; pauses end at "
        "other times, and logs do not match",
        "on the machine whose clock is wrong: sudo timedatectl set-ntp true (package "
        "systemd-timesyncd)");
  }
  if (told > 0) AddGood(findings, "clocks", "those of all hosts agree within seconds");
}

void CheckCertificates(const std::vector<CertificateFile>& files, const HomeView& home, absl::Time now,
                       Findings& findings) {
  bool good = true;
  size_t looked_at = 0;
  for (const CertificateFile& file : files) {
    const std::optional<CertificateLife> life = LifeOf(file.pem);
    if (!life) continue;
    ++looked_at;
    good &= CheckExpiry(
        absl::StrCat("the certificate in ", Printable(file.path, kMaxPathBytes)), life->until, now,
        "hearthd renews its own while it reaches its coordinator (its log says why not); once "
        "it is over: hearth invite there and hearthd --join CODE here; for a key: hearth key "
        "create",
        findings);
  }
  if (home.members) {
    for (const v1::Member& member : home.members->members()) {
      if (member.expires_unix_seconds() == 0) continue;
      ++looked_at;
      good &=
          CheckExpiry(absl::StrCat("the certificate of ", Printable(member.name())),
                      absl::FromUnixSeconds(member.expires_unix_seconds()), now, RemedyFor(member), findings);
    }
  }
  if (!good) return;
  AddGood(findings, "certificates",
          looked_at == 0 ? "none that this user may read" : "none ends within 30 days");
}

void CheckClock(const ClockView& clock, const std::vector<CertificateFile>& files, Findings& findings) {
  const std::string now = absl::FormatTime("%Y-%m-%d %H:%M", clock.now, absl::UTCTimeZone());
  const char kCost[] = "certificates do not hold yet or any more: machines do not let one another in";
  const char kRemedy[] =
      "sudo timedatectl set-ntp true (package systemd-timesyncd), or: sudo date -s 'YEAR-MONTH-DAY "
      "HOUR:MINUTE'";
  if (clock.now < clock.program_made - absl::Hours(24)) {
    return AddWrong(findings, "clock",
                    absl::StrCat("it says ", now, " UTC, before this program was installed (",
                                 DayText(clock.program_made), ")"),
                    kCost, kRemedy);
  }
  for (const CertificateFile& file : files) {
    const std::optional<CertificateLife> life = LifeOf(file.pem);
    if (!life || life->from <= clock.now) continue;
    return AddWrong(findings, "clock",
                    absl::StrCat("it says ", now, " UTC, but the certificate in ",
                                 Printable(file.path, kMaxPathBytes), " begins on ", DayText(life->from)),
                    kCost, kRemedy);
  }
  if (clock.synchronized == false) {
    return AddWarning(findings, "clock", absl::StrCat("nothing keeps it right; it says ", now, " UTC"),
                      "once it is wrong by days certificates do not hold", kRemedy);
  }
  AddGood(findings, "clock", now + " UTC");
}

}  // namespace hearth
