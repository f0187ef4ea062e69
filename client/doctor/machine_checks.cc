#include "client/doctor/machine_checks.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <memory>
#include <set>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "client/doctor/processes.h"
#include "client/library/bytes_text.h"
#include "engine/base/process_limits.h"

namespace hearth {
namespace {

constexpr uint64_t kMib = uint64_t{1} << 20;
constexpr uint64_t kGib = uint64_t{1} << 30;

// --- Processor ---

using Features = std::set<std::string, std::less<>>;

bool HasAll(const Features& features, std::initializer_list<std::string_view> names) {
  return std::all_of(names.begin(), names.end(),
                     [&features](std::string_view name) { return features.contains(name); });
}

// As Highway chooses among the kernels that are compiled; empty: none of them for x86.
std::string X86Kernels(const Features& has) {
  const bool avx2 = HasAll(has, {"avx2", "fma", "bmi1", "bmi2", "f16c"});
  const bool avx512 = avx2 && HasAll(has, {"avx512f", "avx512bw", "avx512dq", "avx512cd", "avx512vl"});
  if (avx512 && HasAll(has, {"avx512_vnni", "avx512vbmi", "avx512_vbmi2", "avx512_bitalg", "vaes", "gfni"})) {
    return HasAll(has, {"amx_tile", "amx_int8"}) ? "AVX-512 with 8-bit products, and matrix tiles (AMX)"
                                                 : "AVX-512 with 8-bit products";
  }
  if (avx512) return "AVX-512";
  return avx2 ? "AVX2" : "";
}

// --- Limits ---

// The soft limit of a line "Max open files  1024  1048576  files"; nullopt where there is none.
std::optional<uint64_t> SoftLimit(const SystemFiles& files, const std::string& process,
                                  std::string_view name) {
  const std::string value = files.Named(absl::StrCat("/proc/", process, "/limits"), name);
  const std::string first(value.substr(0, value.find(' ')));
  if (first == "unlimited") return std::numeric_limits<uint64_t>::max();
  uint64_t limit = 0;
  return absl::SimpleAtoi(first, &limit) ? std::optional(limit) : std::nullopt;
}

// Of "256 kB".
uint64_t Kilobytes(const std::string& text) {
  uint64_t kilobytes = 0;
  if (!absl::SimpleAtoi(text.substr(0, text.find(' ')), &kilobytes)) return 0;
  return kilobytes > std::numeric_limits<uint64_t>::max() / 1024 ? 0 : kilobytes * 1024;
}

// Whether io_uring's buffers count as locked memory: before Linux 5.12.
bool LockedMemoryCounts(const std::string& release) {
  const std::vector<std::string> parts = absl::StrSplit(release, absl::ByAnyChar(".-"));
  int major = 0, minor = 0;
  if (parts.size() < 2 || !absl::SimpleAtoi(parts[0], &major) || !absl::SimpleAtoi(parts[1], &minor))
    return false;
  return major < 5 || (major == 5 && minor < 12);
}

// --- Graphics ---

struct Cards {
  int nvidia = 0, others = 0;
  std::string nvidia_driver;  // of the last one; empty: none
};

Cards FindCards(const SystemFiles& files) {
  const std::string bus = "/sys/bus/pci/devices/";
  Cards cards;
  for (const std::string& name : files.Names(bus)) {
    if (!files.Word(bus + name + "/class").starts_with("0x03")) continue;
    const std::string vendor = files.Word(bus + name + "/vendor");
    cards.others += vendor == "0x1002" || vendor == "0x8086";
    if (vendor != "0x10de") continue;
    ++cards.nvidia;
    cards.nvidia_driver = files.LinkedName(bus + name + "/driver");
  }
  return cards;
}

// Of "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 ..."; 0 where there is none.
double DriverVersion(const SystemFiles& files, std::string& text) {
  for (const absl::string_view word :
       absl::StrSplit(files.Named("/proc/driver/nvidia/version", "NVRM version"), ' ')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(word, '.');
    double version = 0;
    if (parts.size() < 2 || !absl::SimpleAtod(parts[0], &version)) continue;
    text = std::string(word);
    return version;
  }
  return 0;
}

constexpr double kOldestDriver = 450;  // of CUDA 11
constexpr double kDriverOfCuda12 = 525;
constexpr char kCardIdle[] = "the card computes nothing; tokens take as long as the processors need";

void CheckDriver(const SystemFiles& files, Findings& findings) {
  std::string version;
  const double number = DriverVersion(files, version);
  if (number == 0) {
    AddWarning(findings, "graphics", "an NVIDIA card is there and its driver's module is not loaded",
               kCardIdle,
               "sudo modprobe nvidia; where that fails: sudo apt install nvidia-driver, then start the "
               "machine anew");
  } else if (!files.Exists("/dev/nvidia0")) {
    AddWarning(findings, "graphics", "the NVIDIA driver is loaded, but /dev/nvidia0 is not there", kCardIdle,
               "sudo apt install nvidia-modprobe, then: sudo nvidia-modprobe -u -c 0");
  } else if (number < kDriverOfCuda12) {
    AddWarning(findings, "graphics", absl::StrCat("NVIDIA's driver is ", version),
               number < kOldestDriver ? kCardIdle : "programs built with CUDA 12 or 13 cannot use the card",
               "install driver 525 or newer");
  } else {
    AddGood(findings, "graphics", absl::StrCat("an NVIDIA card with driver ", version));
  }
}

// --- Disk ---

constexpr double kSlowDisk = 200e6;
constexpr size_t kReadBytes = size_t{4} << 20;

double MeasureReading(const std::string& file) {
  using Clock = std::chrono::steady_clock;
  const int fd = open(file.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return 0;
  const std::unique_ptr<void, decltype(&std::free)> buffer(std::aligned_alloc(4096, kReadBytes), &std::free);
  size_t bytes = 0;
  const Clock::time_point start = Clock::now();
  while (Clock::now() - start < std::chrono::milliseconds(500)) {
    const ssize_t got = pread(fd, buffer.get(), kReadBytes, static_cast<off_t>(bytes));
    if (got <= 0) break;
    bytes += static_cast<size_t>(got);
    if (static_cast<size_t>(got) < kReadBytes) break;
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  close(fd);
  return bytes < kReadBytes ? 0 : static_cast<double>(bytes) / std::max(seconds, 1e-9);
}

}  // namespace

void CheckProcessor(const SystemFiles& files, Findings& findings) {
  const std::string flags = files.Named("/proc/cpuinfo", "flags");
  if (flags.empty()) {
    const std::string arm = files.Named("/proc/cpuinfo", "Features");
    AddGood(findings, "processor", arm.empty() ? "its instruction sets are not told" : "NEON kernels run");
    return;
  }
  const Features features = absl::StrSplit(flags, ' ');
  const std::string kernels = X86Kernels(features);
  if (!kernels.empty()) return AddGood(findings, "processor", kernels + " kernels run");
  AddWarning(findings, "processor", "it lacks AVX2 (with FMA, BMI and F16C), so kernels of 128 bits run",
             "prompts and tokens take several times as long as the memory would allow",
             "in a virtual machine pass the host's processor through (QEMU: -cpu host); else let newer "
             "machines of the home compute (hearth plan)");
}

void CheckMemory(const SystemFiles& files, Findings& findings) {
  const ProcessLimits limits = ReadProcessLimits(files.root());
  const uint64_t machine = Kilobytes(files.Named("/proc/meminfo", "MemTotal"));
  if (limits.memory_bytes < machine / 2) {
    AddWarning(findings, "memory",
               absl::StrCat("a control group allows ", BytesText(limits.memory_bytes), " of the machine's ",
                            BytesText(machine)),
               "larger models go to other machines or do not fit",
               "raise MemoryMax= of the service or slice, or the container's memory limit");
  } else if (limits.memory_free_bytes < limits.memory_bytes / 20) {
    AddWarning(findings, "memory",
               absl::StrCat("only ", BytesText(limits.memory_free_bytes), " of ",
                            BytesText(limits.memory_bytes), " are free"),
               "models that are to be loaded do not fit; others may be swapped out",
               "end programs that take memory, or unload a model (hearth models, hearth unload)");
  } else {
    AddGood(findings, "memory",
            absl::StrCat(BytesText(limits.memory_free_bytes), " of ", BytesText(limits.memory_bytes),
                         " are free"));
  }
  uint64_t swapped = 0;
  for (const std::string& process : ProcessesNamed(files, kDaemonProcess))
    swapped += Kilobytes(files.Named(absl::StrCat("/proc/", process, "/status"), "VmSwap"));
  if (swapped < 64 * kMib) return;
  AddWarning(findings, "swap", absl::StrCat(BytesText(swapped), " of hearthd's memory are on the disk"),
             "each token reads all weights: it waits for the disk, and takes a hundred times as long",
             "end programs that take memory or load smaller models, then restart hearthd; "
             "`MemorySwapMax=0` for the service keeps it from being swapped out");
}

void CheckHugePages(const SystemFiles& files, Findings& findings) {
  const std::string choice = files.Text("/sys/kernel/mm/transparent_hugepage/enabled");
  if (choice.empty() || absl::StrContains(choice, "[never]")) {
    AddWarning(
        findings, "huge pages",
        choice.empty() ? "the kernel has no transparent huge pages" : "transparent huge pages are off",
        "weights lie in pages of 4 KiB, at whose ends the processor's prefetchers stop: tokens take longer",
        "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled (for good: "
        "transparent_hugepage=madvise on the kernel's command line)");
    return;
  }
  AddGood(findings, "huge pages", "weights may lie in them");
}

void CheckLimits(const SystemFiles& files, Findings& findings) {
  const std::vector<std::string> daemons = ProcessesNamed(files, kDaemonProcess);
  const std::string process = daemons.empty() ? "self" : daemons.front();
  const size_t before = findings.size();
  const auto open_files = SoftLimit(files, process, "Max open files");
  if (open_files && *open_files < 1024) {
    AddWarning(findings, "limits",
               absl::StrCat("a process may have ", *open_files, " files and connections open"),
               "clients beyond that are refused", "raise LimitNOFILE= of the service, or `ulimit -n 65536`");
  }
  const auto locked = SoftLimit(files, process, "Max locked memory");
  if (locked && *locked < 64 * kMib && LockedMemoryCounts(files.Word("/proc/sys/kernel/osrelease"))) {
    AddWarning(findings, "limits",
               absl::StrCat("a process may lock ", BytesText(*locked),
                            " of memory, which this kernel counts for io_uring"),
               "packed models (hearth-model pack) are read from the disk by threads, which is slower",
               "LimitMEMLOCK=infinity for the service, or `ulimit -l unlimited`, or Linux 5.12 or newer");
  }
  if (files.Word("/proc/sys/kernel/io_uring_disabled") == "2") {
    AddWarning(findings, "limits", "io_uring is forbidden",
               "packed models (hearth-model pack) are read from the disk by threads, which is slower",
               "sudo sysctl kernel.io_uring_disabled=0, where you trust this machine's programs");
  }
  if (findings.size() == before)
    AddGood(findings, "limits", "open files, locked memory and io_uring suffice");
}

void CheckGraphics(const SystemFiles& files, std::optional<bool> offered, Findings& findings) {
  const Cards cards = FindCards(files);
  if (cards.nvidia == 0) {
    AddGood(findings, "graphics",
            cards.others == 0 ? "no card that could compute"
                              : "a card that is not NVIDIA's; Hearth does not use those");
    return;
  }
  if (cards.nvidia_driver == "vfio-pci") {
    AddGood(findings, "graphics", "an NVIDIA card that is given to a virtual machine");
  } else if (cards.nvidia_driver != "nvidia") {
    AddWarning(findings, "graphics",
               absl::StrCat("an NVIDIA card is there, driven by ",
                            cards.nvidia_driver.empty() ? "nothing" : cards.nvidia_driver),
               kCardIdle, "sudo apt install nvidia-driver (non-free), then start the machine anew");
  } else {
    CheckDriver(files, findings);
    if (findings.back().severity != Severity::kGood || offered.value_or(true)) return;
    AddWarning(
        findings, "graphics", "no hearthd of this home offers a card", kCardIdle,
        "hearthd --device cpu --device gpu0,kind=gpu, or `device` in /etc/hearth/hearthd.toml; where that "
        "fails the build has no CUDA (hearth-cuda)");
  }
}

DiskView LookAtDisk(const std::string& folder, const std::string& file) {
  DiskView disk{.folder = folder};
  struct statvfs about {};
  if (statvfs(folder.c_str(), &about) == 0) {
    disk.free_bytes = uint64_t{about.f_bavail} * about.f_frsize;
    disk.total_bytes = uint64_t{about.f_blocks} * about.f_frsize;
  }
  if (!file.empty()) disk.read_bytes_per_second = MeasureReading(file);
  return disk;
}

void CheckDisk(const DiskView& disk, Findings& findings) {
  if (disk.total_bytes == 0) {
    AddGood(findings, "disk", absl::StrCat("no models directory yet: `hearth pull` makes ", disk.folder));
    return;
  }
  const std::string room = absl::StrCat(BytesText(disk.free_bytes), " of ", BytesText(disk.total_bytes),
                                        " are free in ", disk.folder);
  const std::string make_room = absl::StrCat(
      "hearth models --local, then hearth rm NAME; or another disk: HEARTH_MODELS=DIR, hearth pull --to DIR");
  if (disk.free_bytes < 128 * kMib) {
    AddWrong(findings, "disk", room, "models cannot be fetched, and hearthd cannot keep what outlives it",
             make_room);
  } else if (disk.free_bytes < 4 * kGib) {
    AddWarning(findings, "disk", room, "hardly a model can be fetched", make_room);
  } else {
    AddGood(findings, "disk", room);
  }
  if (disk.read_bytes_per_second <= 0) return;
  const std::string speed = absl::StrFormat("it reads %.0f MB/s", disk.read_bytes_per_second / 1e6);
  if (disk.read_bytes_per_second >= kSlowDisk) return AddGood(findings, "disk speed", speed);
  AddWarning(
      findings, "disk speed", speed,
      absl::StrFormat("a model of 4 GB takes %.0f s to load", 4e9 / disk.read_bytes_per_second),
      "keep models on an SSD of this machine (HEARTH_MODELS=DIR), not on a disk that turns or a network's");
}

}  // namespace hearth
