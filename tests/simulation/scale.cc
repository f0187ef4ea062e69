#include "tests/simulation/scale.h"

#include <malloc.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/cluster/plan_keeper.h"
#include "daemon/membership/roster_core.h"
#include "daemon/steps/scheduler_core.h"
#include "engine/base/check.h"
#include "tests/simulation/event_loop.h"

namespace hearth::simulation {
namespace {

constexpr int64_t kSteady = 60 * EventLoop::kSecond;
// As on a LAN of 1 Gbit/s.
constexpr int64_t kThoroughProbe = EventLoop::kSecond / 10;
constexpr int64_t kQuickProbe = EventLoop::kSecond / 25;
constexpr int64_t kStep = EventLoop::kSecond / 20;

double CpuSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// Hosts that report, links that are measured four at a time, a keeper that looks whenever something has
// changed, and streams that get a token in each step.
class Crowd {
 public:
  Crowd(uint32_t hosts, uint32_t streams) : streams_(streams), scheduler_(Limits(streams)) {
    for (uint32_t i = 0; i < hosts; ++i) {
      loop_.At(loop_.now() + static_cast<int64_t>(random_.Below(EventLoop::kSecond)), [this, i] { Join(i); });
    }
    Watch();
  }

  EventLoop& loop() { return loop_; }
  size_t alive() const { return alive_; }
  PlanKeeper::Hosts hosts() const { return roster_.hosts(loop_.now_ms()); }
  void BeginStreams() {
    for (uint32_t i = 0; i < streams_; ++i) Ask();
    Step();
  }

 private:
  static SchedulerLimits Limits(uint32_t streams) {
    SchedulerLimits limits;
    limits.slots = streams;
    return limits;
  }

  WorkerReport Report(uint32_t host, uint64_t revision) const {
    WorkerReport report;
    report.host = absl::StrCat("h", host);
    report.version = "1";
    report.identity = {absl::StrCat("id-", host), absl::StrCat("machine-", host),
                       absl::StrCat("home-", host)};
    report.capacity.memory_bytes = uint64_t{8} << 30;
    report.capacity.devices = {{"cpu", "cpu", uint64_t{6} << 30, 0, 4, 1e10 + 1e6 * host, 1e11, 5}};
    report.revision = revision;
    return report;
  }

  void Join(uint32_t host) {
    SessionToken token{};
    const uint64_t drawn = random_.Next();
    std::memcpy(token.data(), &drawn, sizeof(drawn));
    const auto session = roster_.Open(Report(host, 0), {"10.0.0.1:1", {}, token}, loop_.now_ms());
    HEARTH_CHECK(session.ok());
    Sync(host, *session, 0);
    Follow();
  }

  void Sync(uint32_t host, RosterCore::Session session, uint64_t revision) {
    if (revision != 0) HEARTH_CHECK(roster_.Report(session, Report(host, revision), loop_.now_ms()).ok());
    const uint64_t wanted = roster_.Desired(session, revision)->revision;
    Follow();
    loop_.At(loop_.now() + EventLoop::kSecond / 4,
             [this, host, session, wanted] { Sync(host, session, wanted); });
  }

  void Watch() {
    roster_.Tick(loop_.now_ms());
    Follow();
    const int64_t next = static_cast<int64_t>(roster_.NextDeadline().value_or(loop_.now_ms() + 1000)) * 1000;
    loop_.At(std::max(next, loop_.now() + 1000), [this] { Watch(); });
  }

  void Follow() {
    const RosterCore::Effects effects = roster_.TakeEffects();
    HEARTH_CHECK(effects.lost.empty());
    while (probes_ < 4) {
      const auto [probe, again] = roster_.NextProbe(loop_.now_ms());
      if (!probe) break;
      ++probes_;
      const bool thorough = probe->effort == ProbeEffort::kThorough;
      loop_.At(loop_.now() + (thorough ? kThoroughProbe : kQuickProbe),
               [this, thorough, session = probe->session] {
                 --probes_;
                 alive_ += thorough;
                 roster_.NoteProbe(session, placement::Link{200, 1.1e8}, loop_.now_ms());
                 Follow();
               });
    }
    if (effects.changed && !std::exchange(kicked_, true)) {
      loop_.At(loop_.now() + EventLoop::kSecond / 100, [this] { Look(); });  // it plans meanwhile
    }
  }

  void Look() {
    kicked_ = false;
    keeper_.PlanIsDue(hosts(), nullptr, {}, loop_.time());
  }

  void Ask() {
    SchedulerCore::Request request;
    request.id = ++last_id_;
    request.prompt.assign(64, static_cast<TokenId>(last_id_ % 100));
    request.max_tokens = 200;
    HEARTH_CHECK(scheduler_.Submit(std::move(request)).ok());
  }

  void Step() {
    const SchedulerCore::Batch& batch = scheduler_.Next(loop_.time());
    const std::vector<SchedulerCore::Sampled> sampled = batch.sampled;
    scheduler_.Complete(absl::Microseconds(kStep));
    for (const auto& [id, rows] : sampled) {
      const auto token = static_cast<TokenId>(random_.Below(1000));
      if (scheduler_.Accept(id, token) != SchedulerCore::After::kEnds) continue;
      scheduler_.End(id);
      Ask();
    }
    loop_.At(loop_.now() + kStep, [this] { Step(); });
  }

  EventLoop loop_;
  Random random_{1};
  RosterCore roster_{RosterCore::Options{.version = "1", .name = "c", .identity = {}}};
  PlanKeeper keeper_{"c", false};
  const uint32_t streams_;
  SchedulerCore scheduler_;
  RequestId last_id_ = 0;
  size_t probes_ = 0, alive_ = 0;
  bool kicked_ = false;
};

}  // namespace

ScaleFigures MeasureScale(uint32_t hosts, uint32_t streams) {
  ScaleFigures figures;
  Crowd crowd(hosts, streams);
  const int64_t start = crowd.loop().now();
  double cpu = CpuSeconds();
  while (crowd.alive() < hosts && crowd.loop().now() < start + 600 * EventLoop::kSecond)
    crowd.loop().RunUntil(crowd.loop().now() + EventLoop::kSecond / 10);
  figures.joined_s = static_cast<double>(crowd.loop().now() - start) / EventLoop::kSecond;
  figures.joining_cores = (CpuSeconds() - cpu) / figures.joined_s;
  crowd.BeginStreams();
  cpu = CpuSeconds();
  crowd.loop().RunUntil(crowd.loop().now() + kSteady / 3);
  const auto used = [] { return static_cast<int64_t>(mallinfo2().uordblks); };
  const int64_t before = used();
  crowd.loop().RunUntil(crowd.loop().now() + 2 * kSteady / 3);
  figures.growth_bytes = used() - before;
  figures.steady_cores = (CpuSeconds() - cpu) * EventLoop::kSecond / kSteady;
  return figures;
}

}  // namespace hearth::simulation
