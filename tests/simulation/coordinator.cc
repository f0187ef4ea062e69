#include "tests/simulation/coordinator.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/capacity/shared_machine.h"
#include "tests/simulation/worker.h"

namespace hearth::simulation {
namespace {

constexpr size_t kProbers = 4;
constexpr Micros kProbeTimeout = 10'000'000;

HostCapacity CapacityOf(const Machine& machine, double read_bytes_per_s) {
  DeviceCapacity device;
  device.name = "cpu";
  device.memory_budget_bytes = static_cast<uint64_t>(0.8 * static_cast<double>(machine.free_bytes()));
  device.threads = 4;
  device.read_bytes_per_s = read_bytes_per_s;
  device.operations_per_s = 1e11;
  device.dispatch_us = 5;
  HostCapacity capacity;
  capacity.memory_bytes = machine.memory_bytes - machine.others_bytes;
  capacity.devices = {device};
  return capacity;
}

std::string BootOf(const Machine& machine) {
  return absl::StrCat("boot-", machine.number, "-", machine.boots);
}

}  // namespace

Coordinator::Coordinator(World& world, Machine& machine, double read_bytes_per_s)
    : Process(world.loop(), machine),
      world_(world),
      capacity_(CapacityOf(machine, read_bytes_per_s)),
      roster_(RosterCore::Options{.version = "1",
                                  .name = name_,
                                  .identity = {"id-c", BootOf(machine), "home-c"},
                                  .offered_bytes = OfferedBytes(capacity_)}),
      memory_(placement::PlanOptions(),
              [&world](const auto& hosts, const auto& model, const auto& reserved, const auto& options) {
                return world.MakePlan(hosts, model, reserved, options);
              }) {
  for (const auto& model : world.models()) {
    keepers_.push_back(std::make_unique<Keeper>(*this, *model));
    steps_.push_back(std::make_unique<Steps>(*this, *keepers_.back()));
  }
}

void Coordinator::Start() {
  for (const auto& keeper : keepers_) keeper->Kick();
  Watch();
}

void Coordinator::Crash() {
  Die();
  steps_.clear();
  keepers_.clear();
  streams_.clear();
}

// ---- The streams of workers: what MembershipService does.

void Coordinator::TakeReport(const std::shared_ptr<Line>& line, WorkerReport report, Worker* worker,
                             const AnswerHandler& answer) {
  const auto known = streams_.find(line.get());
  if (known != streams_.end()) {
    known->second.worker_revision = report.revision;
    const absl::Status status = roster_.Report(known->second.session, std::move(report), loop().now_ms());
    if (!status.ok()) EndStream(line.get(), std::string(status.message()));
  } else {
    SessionToken token{};
    const uint64_t drawn = world_.random().Next();
    std::memcpy(token.data(), &drawn, sizeof(drawn));
    const absl::StatusOr<Session> session =
        roster_.Open(report, {report.tensor_address, {}, token}, loop().now_ms());
    if (!session.ok()) {
      world_.Log(absl::StrCat("refused ", report.host, ": ", session.status().message()));
      line->Close(1);
      return RunEffects();
    }
    streams_[line.get()] = {line, worker, answer, *session, report.revision, 0};
    line->OnClosed(1, [this, raw = line.get()] { EndStream(raw, "its stream has ended"); });
  }
  RunEffects();
  if (const auto stream = streams_.find(line.get()); stream != streams_.end()) WriteDesired(stream->second);
}

void Coordinator::WriteDesired(Stream& stream) {
  const absl::StatusOr<DesiredShards> desired =
      roster_.Desired(stream.session, std::max(stream.worker_revision, stream.sent_revision));
  if (!desired.ok()) return;
  stream.sent_revision = desired->revision;
  stream.line->Send(1, [answer = stream.answer, desired = *desired] { answer(desired); });
}

void Coordinator::EndStream(const Line* line, const std::string& reason) {
  const auto stream = streams_.find(line);
  if (stream == streams_.end()) return;
  const Stream ended = std::move(stream->second);
  streams_.erase(stream);
  ended.line->Close(1);
  roster_.Close(ended.session, reason);
  RunEffects();
}

Coordinator::Stream* Coordinator::FindStream(Session session) {
  for (auto& [line, stream] : streams_) {
    if (stream.session == session) return &stream;
  }
  return nullptr;
}

Worker* Coordinator::WorkerOf(Session session) {
  Stream* stream = FindStream(session);
  return stream == nullptr ? nullptr : stream->worker;
}

void Coordinator::RunEffects() {
  const RosterCore::Effects effects = roster_.TakeEffects();
  for (const auto& [session, reason] : effects.lost) {
    for (const auto& keeper : keepers_) keeper->OnLost(session);
    if (Stream* stream = FindStream(session)) {
      const std::shared_ptr<Line> line = stream->line;
      streams_.erase(line.get());
      line->Close(1);
    }
  }
  for (const Session session : effects.pushed) {
    if (Stream* stream = FindStream(session)) WriteDesired(*stream);
  }
  if (effects.measurable || effects.changed) ProbeLinks();
  if (!effects.changed) return;
  CheckCapacity();
  Watch();
  KickAll();
}

void Coordinator::ReportLost(Session session, const std::string& reason) {
  roster_.Close(session, reason);
  RunEffects();
}

// ---- Clock and links: what Roster's threads do.

void Coordinator::Watch() {
  const std::optional<uint64_t> deadline = roster_.NextDeadline();
  if (!deadline) return;
  At(static_cast<Micros>(*deadline) * 1000, [this, number = ++watch_number_] {
    if (number != watch_number_) return;
    roster_.Tick(loop().now_ms());
    RunEffects();
    if (number == watch_number_) Watch();
  });
}

void Coordinator::ProbeLinks() {
  while (probes_ < kProbers) {
    const auto [probe, ask_again_ms] = roster_.NextProbe(loop().now_ms());
    if (!probe) {
      At(static_cast<Micros>(ask_again_ms) * 1000, [this, number = ++probe_number_] {
        if (number == probe_number_) ProbeLinks();
      });
      return;
    }
    ++probes_;
    Probe(*probe);
  }
}

void Coordinator::Probe(const RosterCore::Probe& probe) {
  Worker* worker = WorkerOf(probe.session);
  const bool quick = probe.effort == ProbeEffort::kQuick;
  const bool reachable = worker != nullptr && worker->alive() && worker->stopped_until() <= loop().now() &&
                         !world_.network().IsCutEitherWay(machine().number, worker->machine().number);
  const Micros takes = reachable ? (quick ? 40'000 : 200'000) : kProbeTimeout;
  After(takes, [this, probe, worker, reachable] {
    --probes_;
    absl::StatusOr<placement::Link> link = absl::UnavailableError("it does not answer");
    if (reachable && worker->alive() && worker->KnowsToken(probe.token)) {
      link = placement::Link{
          static_cast<double>(world_.network().round_trip()) * world_.random().Uniform(1, 1.3),
          1.1e8 * world_.random().Uniform(0.9, 1.1)};
    }
    roster_.NoteProbe(probe.session, link, loop().now_ms());
    RunEffects();
    ProbeLinks();
  });
}

// ---- Plans.

HeldByModel Coordinator::Held() {
  HeldByModel held;
  for (const auto& keeper : keepers_) held[keeper->model().name()] = keeper->Held();
  return held;
}

void Coordinator::KickAll() {
  for (const auto& keeper : keepers_) keeper->Kick();
}

void Coordinator::CheckCapacity() {
  std::map<const Machine*, uint64_t> offered = {{&machine(), OfferedBytes(capacity_)}};
  std::map<std::string, int> times;
  for (const RosterCore::Host& host : hosts()) {
    if (host.state == HostState::kLost) continue;
    const Worker* worker = WorkerOf(host.session);
    if (worker == nullptr || !worker->alive()) continue;  // it will be found lost
    offered[&worker->machine()] += OfferedBytes(host.capacity);
    if (++times[worker->host().identity.id] > 1)
      world_.Violate(absl::StrCat("host ", host.name, " is there twice"));
  }
  for (const auto& [machine, bytes] : offered) {
    if (bytes > machine->memory_bytes) {
      world_.Violate(absl::StrCat("machine ", machine->number, " is counted with ", bytes, " bytes of ",
                                  machine->memory_bytes));
    }
  }
}

}  // namespace hearth::simulation
