#include "client/doctor/doctor.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

namespace fs = std::filesystem;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);  // 2027-01-15

constexpr char kZen4[] =
    "processor\t: 0\nflags\t\t: fpu avx2 fma bmi1 bmi2 f16c avx512f avx512bw avx512dq avx512cd avx512vl "
    "avx512_vnni "
    "avx512vbmi avx512_vbmi2 avx512_bitalg vaes gfni\n";
constexpr char kLimits[] =
    "Limit                     Soft Limit           Hard Limit           Units     \n"
    "Max open files            65536                65536                files     \n"
    "Max locked memory         8388608              8388608              bytes     \n";

// A certificate that is good between the two times.
std::string Certificate(absl::Time from, absl::Time until) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"), &EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> x509(X509_new(), &X509_free);
  ASN1_TIME_set(X509_getm_notBefore(x509.get()), absl::ToUnixSeconds(from));
  ASN1_TIME_set(X509_getm_notAfter(x509.get()), absl::ToUnixSeconds(until));
  X509_set_pubkey(x509.get(), key.get());
  X509_sign(x509.get(), key.get(), EVP_sha256());
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), &BIO_free);
  PEM_write_bio_X509(bio.get(), x509.get());
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

MATCHER_P3(Finds, severity, subject, words, "") {
  return arg.severity == severity && arg.subject == subject && absl::StrContains(arg.what, words) &&
         (severity == Severity::kGood ? arg.cost.empty() && arg.remedy.empty()
                                      : !arg.cost.empty() && !arg.remedy.empty());
}
MATCHER_P(Remedies, words, "") { return absl::StrContains(arg.remedy, words); }

// A machine that is well, with a daemon that answers; each test breaks something of it.
class DoctorTest : public testing::Test {
 protected:
  DoctorTest() : root_(fs::path(testing::TempDir()) / absl::StrCat("doctor-", getpid())) {
    fs::remove_all(root_);
    Write("/proc/cpuinfo", kZen4);
    Write("/proc/meminfo", "MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:   12000000 kB\n");
    Write("/proc/self/limits", kLimits);
    Write("/proc/200/comm", "hearthd\n");
    Write("/proc/200/limits", kLimits);
    Write("/proc/200/status", "Name:\thearthd\nVmSwap:\t       0 kB\n");
    Write("/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
    Write("/proc/sys/kernel/io_uring_disabled", "0\n");
    Write("/proc/net/route", "Iface\tDestination\tGateway\neth0\t00000000\t0100A8C0\n");
    Write("/sys/class/net/eth0/speed", "1000\n");
    Write("/sys/class/net/eth0/mtu", "1500\n");
    Write("/sys/class/net/eth0/duplex", "full\n");
    Write("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    Listen("0100007F", 7770, 200);
    view_.files = SystemFiles(root_.string());
    view_.disk = {.folder = "/models",
                  .free_bytes = 100ULL << 30,
                  .total_bytes = 200ULL << 30,
                  .read_bytes_per_second = 2e9};
    view_.home.server = "127.0.0.1:7770";
    view_.home.cluster = v1::ClusterStatus();
    AddHost("attic");
    view_.clock = {.now = kNow, .program_made = kNow - absl::Hours(1000), .synchronized = true};
    view_.version = "1.0";
  }
  ~DoctorTest() override { fs::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path.substr(1)).parent_path());
    std::ofstream(root_ / path.substr(1)) << text;
  }
  void Link(const std::string& path, const std::string& to) {
    fs::create_directories((root_ / path.substr(1)).parent_path());
    fs::create_symlink(to, root_ / path.substr(1));
  }
  // A port of a process; 0: of one that this user may not look at.
  void Listen(const std::string& address, int port, int process) {
    const int inode = 1000 + port;
    absl::StrAppendFormat(&sockets_,
                          "  0: %s:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 %d 1\n",
                          address, port, inode);
    Write("/proc/net/tcp", sockets_);
    if (process != 0)
      Link(absl::StrCat("/proc/", process, "/fd/", inode), absl::StrCat("socket:[", inode, "]"));
  }
  v1::HostStatus& AddHost(const std::string& name) {
    v1::HostStatus& host = *view_.home.cluster->add_hosts();
    host.set_name(name);
    host.set_version("1.0");
    host.set_state(v1::HOST_STATE_ALIVE);
    host.set_clock_unix_ms(absl::ToUnixMillis(kNow) + 900);
    return host;
  }
  void EndDaemon() {
    view_.home.cluster = absl::UnavailableError("no hearthd answers");
    fs::remove_all(root_ / "proc/200");
    sockets_.clear();
    Write("/proc/net/tcp", "");
  }
  void AddCard(const std::string& driver) {
    const std::string card = "/sys/bus/pci/devices/0000:01:00.0/";
    Write(card + "class", "0x030000\n");
    Write(card + "vendor", "0x10de\n");
    if (!driver.empty()) Link(card + "driver", "../../../bus/pci/drivers/" + driver);
  }
  void AddDriver(const std::string& version) {
    Write("/proc/driver/nvidia/version",
          "NVRM version: NVIDIA UNIX x86_64 Kernel Module  " + version + "  Sun May 12\n");
  }

  // Those that are not good.
  Findings Complaints() const {
    Findings findings = Diagnose(view_);
    std::erase_if(findings, [](const Finding& finding) { return finding.severity == Severity::kGood; });
    return findings;
  }
  // There is this one complaint, and it names the remedy.
  void ExpectOne(Severity severity, const std::string& subject, const std::string& words,
                 const std::string& remedy) const {
    EXPECT_THAT(Complaints(), ElementsAre(AllOf(Finds(severity, subject, words), Remedies(remedy))))
        << FindingsText(Diagnose(view_));
  }

  const fs::path root_;
  std::string sockets_;
  SystemView view_;
};

TEST_F(DoctorTest, MachineThatIsWellGetsShortLinesAlone) {
  EXPECT_THAT(Complaints(), IsEmpty());
  const std::string text = FindingsText(Diagnose(view_));
  for (const char* subject :
       {"daemon", "versions", "clocks", "processor", "memory", "huge pages", "limits", "graphics", "disk",
        "disk speed", "network", "firewall", "clock", "certificates"})
    EXPECT_THAT(text, HasSubstr(absl::StrCat("ok       ", subject, ": ")));
  EXPECT_THAT(text, HasSubstr("processor: AVX-512 with 8-bit products kernels run\n"));
}

TEST_F(DoctorTest, MachineOfWhichNothingCanBeReadGetsNoNonsense) {
  fs::remove_all(root_);
  view_.home.cluster = absl::UnavailableError("no hearthd answers");
  view_.disk = {.folder = "/models"};
  EXPECT_EQ(CountOf(Diagnose(view_), Severity::kWrong), 0);
}

// --- The daemon and its ports ---

TEST_F(DoctorTest, PortOfAnotherProgramIsNamedWithItsOwner) {
  EndDaemon();
  Write("/proc/300/comm", "nginx\n");
  Listen("00000000", 7770, 300);
  ExpectOne(Severity::kWrong, "daemon", "port 7770 is that of nginx", "--listen");
}

TEST_F(DoctorTest, PortOfWhoMayNotBeLookedAtIsWrong) {
  EndDaemon();
  Listen("0100007F", 7770, 0);
  ExpectOne(Severity::kWrong, "daemon", "does not answer as hearthd does", "ss -tlnp");
}

TEST_F(DoctorTest, DaemonThatHangsIsToBeStartedAnew) {
  view_.home.cluster = absl::DeadlineExceededError("no answer");
  ExpectOne(Severity::kWrong, "daemon", "hearthd at 127.0.0.1:7770 does not answer", "restart hearthd");
}

TEST_F(DoctorTest, NoDaemonIsAWarning) {
  EndDaemon();
  ExpectOne(Severity::kWarning, "daemon", "no hearthd listens", "hearthd --model");
}

TEST_F(DoctorTest, NoDaemonThoughTheServiceIsInstalledIsWrong) {
  EndDaemon();
  Write("/etc/hearth/hearthd.toml", "");
  ExpectOne(Severity::kWrong, "daemon", "though the service is installed", "systemctl enable --now hearthd");
}

TEST_F(DoctorTest, DaemonElsewhereThatDoesNotAnswerIsWrong) {
  view_.home.server = "10.0.0.9:7771";
  view_.home.cluster = absl::UnavailableError("no hearthd answers");
  ExpectOne(Severity::kWrong, "daemon", "no answer from 10.0.0.9:7771", "hearth key list");
}

TEST_F(DoctorTest, DashboardsPortOfAnotherProgramIsAWarning) {
  Write("/proc/300/comm", "python3\n");
  Listen("00000000", 7780, 300);
  ExpectOne(Severity::kWarning, "dashboard", "port 7780 is that of python3", "--http");
}

TEST_F(DoctorTest, OtherVersionsAndLostHostsAreNamed) {
  AddHost("cellar").set_version("0.9");
  AddHost("den").set_state(v1::HOST_STATE_LOST);
  EXPECT_THAT(Complaints(),
              ElementsAre(Finds(Severity::kWarning, "versions", "this program has 1.0, cellar has 0.9"),
                          Finds(Severity::kWrong, "hosts", "lost: den")));
}

TEST_F(DoctorTest, ClocksThatDifferAreNamedWithWhatTheyBreak) {
  AddHost("cellar").set_clock_unix_ms(absl::ToUnixMillis(kNow + absl::Seconds(90)));
  AddHost("den").set_clock_unix_ms(absl::ToUnixMillis(kNow - absl::Hours(2)));
  v1::HostStatus& lost = AddHost("hut");
  lost.set_clock_unix_ms(1);
  lost.set_state(v1::HOST_STATE_LOST);
  EXPECT_THAT(Complaints(), Contains(AllOf(Finds(Severity::kWarning, "clocks",
                                                 "that of cellar is 1m30s ahead, that of den is 2h behind"),
                                           Remedies("timedatectl set-ntp true"))));
  EXPECT_THAT(Complaints(), Not(Contains(Finds(Severity::kWarning, "clocks", "hut"))));
}

TEST_F(DoctorTest, HostThatDoesNotTellItsClockIsNoReasonToComplain) {
  view_.home.cluster->mutable_hosts(0)->set_clock_unix_ms(0);
  EXPECT_THAT(Complaints(), IsEmpty());
  EXPECT_THAT(Diagnose(view_), Not(Contains(testing::Field(&Finding::subject, "clocks"))));
}

TEST_F(DoctorTest, SlowLinkIsNamed) {
  v1::LinkStatus& link = *view_.home.cluster->add_links();
  link.set_from("attic");
  link.set_to("den\x1b");
  link.set_round_trip_us(8000);
  ExpectOne(Severity::kWarning, "links", "from attic to den\\x1b and back takes 8.0 ms", "cable");
}

// --- The machine ---

TEST_F(DoctorTest, OldProcessorIsAWarning) {
  Write("/proc/cpuinfo", "flags\t: fpu sse2 ssse3 sse4_1 sse4_2 avx\n");
  ExpectOne(Severity::kWarning, "processor", "lacks AVX2", "-cpu host");
}

TEST_F(DoctorTest, KernelsFollowFromInstructionSets) {
  const auto processor = [this](const std::string& cpuinfo) {
    Write("/proc/cpuinfo", cpuinfo);
    Findings findings;
    CheckProcessor(view_.files, findings);
    return findings.at(0).what;
  };
  EXPECT_EQ(processor("flags\t: avx2 fma bmi1 bmi2 f16c"), "AVX2 kernels run");
  EXPECT_EQ(processor("flags\t: avx2 fma bmi1 bmi2 f16c avx512f avx512bw avx512dq avx512cd avx512vl"),
            "AVX-512 kernels run");
  EXPECT_THAT(processor(absl::StrCat(absl::StripSuffix(kZen4, "\n"), " amx_tile amx_int8\n")),
              HasSubstr("AMX"));
  EXPECT_EQ(processor("processor : 0\nFeatures : fp asimd aes\n"), "NEON kernels run");
}

TEST_F(DoctorTest, LimitOfAControlGroupIsAWarning) {
  Write("/proc/self/mountinfo", "30 22 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  Write("/proc/self/cgroup", "0::/box\n");
  Write("/sys/fs/cgroup/box/memory.max", "2147483648\n");
  ExpectOne(Severity::kWarning, "memory", "allows 2.0 GiB of the machine's 15.3 GiB", "MemoryMax=");
}

TEST_F(DoctorTest, FullMemoryIsAWarning) {
  Write("/proc/meminfo", "MemTotal:       16000000 kB\nMemAvailable:   120000 kB\n");
  ExpectOne(Severity::kWarning, "memory", "are free", "hearth unload");
}

TEST_F(DoctorTest, DaemonInSwapIsAWarning) {
  Write("/proc/200/status", "Name:\thearthd\nVmSwap:\t 4194304 kB\n");
  ExpectOne(Severity::kWarning, "swap", "4.0 GiB of hearthd's memory", "restart hearthd");
}

TEST_F(DoctorTest, HugePagesThatAreOffAreAWarning) {
  Write("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
  ExpectOne(Severity::kWarning, "huge pages", "off", "echo madvise");
}

TEST_F(DoctorTest, TightLimitsOfTheDaemonsProcessAreWarnings) {
  Write("/proc/200/limits",
        "Max open files            256       256   files\nMax locked memory         65536  65536 bytes\n");
  Write("/proc/sys/kernel/osrelease", "5.10.0-28\n");
  Write("/proc/sys/kernel/io_uring_disabled", "2\n");
  EXPECT_THAT(Complaints(), ElementsAre(Remedies("LimitNOFILE="), Remedies("LimitMEMLOCK="),
                                        Remedies("io_uring_disabled=0")));
}

TEST_F(DoctorTest, LockedMemoryDoesNotMatterToNewKernels) {
  Write("/proc/200/limits", "Max locked memory         65536  65536 bytes\n");
  EXPECT_THAT(Complaints(), IsEmpty());
}

TEST_F(DoctorTest, CardWithoutItsDriverIsAWarning) {
  AddCard("nouveau");
  ExpectOne(Severity::kWarning, "graphics", "driven by nouveau", "nvidia-driver");
}

TEST_F(DoctorTest, CardWithADriverThatIsNotLoadedOrTooOldIsAWarning) {
  AddCard("nvidia");
  ExpectOne(Severity::kWarning, "graphics", "module is not loaded", "modprobe");
  AddDriver("390.157");
  ExpectOne(Severity::kWarning, "graphics", "/dev/nvidia0 is not there", "nvidia-modprobe");
  Write("/dev/nvidia0", "");
  ExpectOne(Severity::kWarning, "graphics", "driver is 390.157", "525 or newer");
}

TEST_F(DoctorTest, CardThatNobodyOffersIsAWarning) {
  AddCard("nvidia");
  AddDriver("535.183.01");
  Write("/dev/nvidia0", "");
  EXPECT_THAT(
      Complaints(),
      ElementsAre(AllOf(Finds(Severity::kWarning, "graphics", "no hearthd of this home offers a card"),
                        Remedies("kind=gpu"))));
  view_.home.cluster->mutable_hosts(0)->add_devices()->set_kind("gpu");
  EXPECT_THAT(Complaints(), IsEmpty());
}

TEST_F(DoctorTest, FullDiskIsWrongAndASlowOneAWarning) {
  view_.disk.free_bytes = 10 << 20;
  view_.disk.read_bytes_per_second = 80e6;
  EXPECT_THAT(Complaints(),
              ElementsAre(AllOf(Finds(Severity::kWrong, "disk", "10.0 MiB of 200.0 GiB are free in /models"),
                                Remedies("hearth rm")),
                          AllOf(Finds(Severity::kWarning, "disk speed", "80 MB/s"), Remedies("SSD"))));
}

TEST_F(DoctorTest, WifiIsAWarning) {
  fs::create_directories(root_ / "sys/class/net/eth0/wireless");
  ExpectOne(Severity::kWarning, "network", "eth0 is Wi-Fi", "cable");
}

TEST_F(DoctorTest, SlowWireHalfDuplexAndOddPacketsAreWarnings) {
  Write("/sys/class/net/eth0/speed", "100\n");
  Write("/sys/class/net/eth0/duplex", "half\n");
  Write("/sys/class/net/eth0/mtu", "9000\n");
  EXPECT_THAT(Complaints(), ElementsAre(Finds(Severity::kWarning, "network", "eth0 runs at 100 Mbit/s"),
                                        Finds(Severity::kWarning, "network", "half duplex"),
                                        AllOf(Finds(Severity::kWarning, "network", "9000 bytes (MTU)"),
                                              Remedies("mtu 1500"))));
}

TEST_F(DoctorTest, InterfacesOutsideTheDefaultRouteDoNotMatter) {
  Write("/sys/class/net/wlan0/mtu", "1280\n");
  fs::create_directories(root_ / "sys/class/net/wlan0/wireless");
  EXPECT_THAT(Complaints(), IsEmpty());
}

TEST_F(DoctorTest, FirewallsThatCloseTheHomesPortsAreWarnings) {
  Write("/etc/nftables.conf",
        "chain input { type filter hook input priority 0; policy drop; tcp dport 22 accept }");
  EXPECT_THAT(Complaints(), IsEmpty()) << "no port is open to other machines";
  Listen("00000000", 7771, 200);
  ExpectOne(Severity::kWarning, "firewall", "nftables", "tcp dport 7771-7772 accept");
  Write("/etc/iptables/rules.v4", ":INPUT DROP [0:0]\n");
  Write("/etc/nftables.conf", "chain input { type filter hook input priority 0; policy accept; }");
  ExpectOne(Severity::kWarning, "firewall", "iptables", "--dport 7771:7772");
  Write("/run/firewalld/private", "");
  ExpectOne(Severity::kWarning, "firewall", "firewalld", "firewall-cmd");
  Write("/etc/ufw/ufw.conf", "# settings\nENABLED=yes\n");
  ExpectOne(Severity::kWarning, "firewall", "ufw", "sudo ufw allow 7771:7772/tcp");
  Write("/etc/ufw/user.rules", "-A ufw-user-input -p tcp -m multiport --dports 7771:7772 -j ACCEPT\n");
  EXPECT_THAT(Complaints(), IsEmpty());
}

// --- Time ---

TEST_F(DoctorTest, ClockBeforeTheProgramWasMadeIsWrong) {
  view_.clock.now = absl::FromUnixSeconds(86400);
  view_.home.cluster->mutable_hosts(0)->set_clock_unix_ms(0);
  ExpectOne(Severity::kWrong, "clock", "1970-01-02 00:00 UTC, before this program", "timedatectl");
}

TEST_F(DoctorTest, ClockBeforeACertificateBeginsIsWrong) {
  view_.certificates = {{"/id/home.pem", Certificate(kNow + absl::Hours(48), kNow + absl::Hours(9000))}};
  ExpectOne(Severity::kWrong, "clock", "/id/home.pem begins on 2027-01-17", "timedatectl");
}

TEST_F(DoctorTest, ClockThatNobodyKeepsRightIsAWarning) {
  view_.clock.synchronized = false;
  ExpectOne(Severity::kWarning, "clock", "nothing keeps it right", "systemd-timesyncd");
}

TEST_F(DoctorTest, CertificateThatHasEndedIsWrongAndOneThatEndsSoonAWarning) {
  view_.certificates = {
      {"/id/home.pem", Certificate(kNow - absl::Hours(9000), kNow - absl::Hours(24))},
      {"/id/authority.pem", Certificate(kNow - absl::Hours(9000), kNow + absl::Hours(48))},
      {"/id/none.pem", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"}};
  EXPECT_THAT(Complaints(),
              ElementsAre(AllOf(Finds(Severity::kWrong, "certificates", "/id/home.pem ended on 2027-01-14"),
                                Remedies("hearth invite")),
                          Finds(Severity::kWarning, "certificates", "/id/authority.pem ends on 2027-01-17")));
}

TEST_F(DoctorTest, MembersWhoseCertificatesEndAreNamedWithTheirRemedies) {
  view_.home.members.emplace();
  v1::Member& host = *view_.home.members->add_members();
  host.set_name("cellar");
  host.set_role(v1::ROLE_HOST);
  host.set_expires_unix_seconds(absl::ToUnixSeconds(kNow) - 1);
  v1::Member& key = *view_.home.members->add_members();
  key.set_name("anna");
  key.set_role(v1::ROLE_CLIENT);
  key.set_expires_unix_seconds(absl::ToUnixSeconds(kNow) + 3600);
  view_.home.members->add_members()->set_name("a key for HTTP, which never ends");
  EXPECT_THAT(Complaints(), ElementsAre(AllOf(Finds(Severity::kWrong, "certificates", "of cellar ended"),
                                              Remedies("hearth forget cellar")),
                                        AllOf(Finds(Severity::kWarning, "certificates", "of anna ends"),
                                              Remedies("hearth key revoke anna"))));
}

TEST(LookAtDiskTest, FolderThatIsNotThereHasNoRoom) {
  const DiskView disk = LookAtDisk("/no/such/folder", "/no/such/file");
  EXPECT_EQ(disk.total_bytes, 0);
  EXPECT_EQ(disk.read_bytes_per_second, 0);
}

TEST(FindingsTextTest, WhatIsWrongComesFirstInLinesThatATerminalShows) {
  Findings findings;
  AddGood(findings, "a", "fine");
  AddWarning(findings, "b", "slow\n", "time", "wait");
  AddWrong(findings, "c", "broken", "all", "mend");
  EXPECT_EQ(FindingsText(findings),
            "WRONG    c: broken\n           costs: all\n           do: mend\n"
            "warning  b: slow\\n\n           costs: time\n           do: wait\n"
            "ok       a: fine\n");
}

}  // namespace
}  // namespace hearth
