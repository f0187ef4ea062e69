#include "tests/simulation/steps.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/simulation/clients.h"
#include "tests/simulation/coordinator.h"
#include "tests/simulation/worker.h"

namespace hearth::simulation {
namespace {

constexpr absl::Duration kReplanWait = absl::Seconds(30);
constexpr Micros kAwaitReady = 200'000;
constexpr Micros kLeaderStep = 1000;

SchedulerLimits Limits() {
  SchedulerLimits limits;
  limits.slots = ToyModel::kSlots;
  limits.queue = 16;
  limits.max_rows = ToyModel::kMaxRows;
  limits.slow_reader = absl::Seconds(5);
  return limits;
}

}  // namespace

Steps::Steps(Coordinator& coordinator, Keeper& keeper)
    : coordinator_(coordinator),
      world_(coordinator.world()),
      keeper_(keeper),
      core_(Limits()),
      lengths_(ToyModel::kSlots) {
  keeper_.OnReady([this] { Wake(); });
}

absl::Status Steps::Submit(SchedulerCore::Request request) {
  if (world_.Is(Bug::kAdmitsTwice)) requests_[request.id] = request;
  absl::Status status = core_.Submit(std::move(request));
  if (status.ok()) Wake();
  return status;
}

void Steps::Cancel(RequestId id) {
  core_.Cancel(id);
  Wake();
}

void Steps::SetBlocked(RequestId id, bool blocked) {
  core_.SetBlocked(id, blocked, world_.loop().time());
  Wake();
}

void Steps::Wake() {
  if (std::exchange(wake_asked_, true)) return;
  coordinator_.After(0, [this] {
    wake_asked_ = false;
    Loop();
  });
}

void Steps::Loop() {
  if (computing_) return;
  const absl::Time now = world_.loop().time();
  const absl::Time next = core_.NextEvent(now);
  const uint64_t number = ++timer_;
  if (next > now && !keeper_.slots().NewPlanWaits()) {
    outage_since_ = absl::InfiniteFuture();
    if (next == absl::InfiniteFuture()) return;
    return coordinator_.After(absl::ToInt64Microseconds(next - now) + 1, [this, number] {
      if (number == timer_) Loop();
    });
  }
  const bool ready = keeper_.PrepareStep(lengths_);
  if (ready) {
    for (uint32_t slot = 0; slot < lengths_.size(); ++slot) core_.Recompute(slot, lengths_[slot]);
    core_.SetReuse({.rows_alike = true, .can_cut = true, .rows_independent = true});
  }
  FormBatch(ready);
  if (!ready) return AwaitPlan();
  if (!computing_) Wake();
}

void Steps::FormBatch(bool ready) {
  const absl::Time now = world_.loop().time();
  const SchedulerCore::Batch batch = ready ? core_.Next(now) : core_.Expire(now);
  for (const auto& [id, reason] : batch.ended) world_.clients().End(id, reason);
  for (const SchedulerCore::Admitted& admitted : batch.admitted) {
    if (admitted.kept > lengths_[admitted.slot]) world_.Violate("a sequence is to keep more than is cached");
  }
  for (const BatchRow& row : batch.rows)
    lengths_[row.sequence] = std::min(lengths_[row.sequence], row.position);
  if (ready && !batch.rows.empty()) Evaluate(batch);
}

void Steps::Evaluate(const SchedulerCore::Batch& batch) {
  computing_ = true;
  failed_ = false;
  now_ = {};
  now_.plan = keeper_.slots().active();
  now_.rows = batch.rows;
  now_.sampled = batch.sampled;
  now_.sums.assign(batch.rows.size(), 0);
  now_.started = world_.loop().now();
  for (const BatchRow& row : now_.rows) {
    if (row.position != lengths_[row.sequence]) {
      // Rows of a sequence follow one another.
      const auto before = std::find_if(now_.rows.begin(), now_.rows.end(), [&](const BatchRow& other) {
        return other.sequence == row.sequence && other.position + 1 == row.position;
      });
      if (before == now_.rows.end()) world_.Violate("a row that does not follow what is cached");
    }
  }
  ++step_;
  auto& plan = static_cast<SimulatedPlan&>(*now_.plan);
  for (size_t i = 0; i < plan.remotes.size(); ++i) Ask(i);
  Compute(keeper_.model(), plan.local, now_.rows, now_.sums);
  double expected = plan.expected_us / world_.coordinator()->machine().speed;
  if (plan.remotes.size() > 0) expected *= 0.5;  // hosts work at the same time
  const auto takes = static_cast<Micros>(expected * world_.random().Uniform(0.9, 1.1)) + kLeaderStep;
  coordinator_.After(takes, [this, step = step_] {
    if (step != step_ || !computing_) return;
    now_.local = true;
    FinishIfAllAreHere();
  });
}

void Steps::Ask(size_t number) {
  auto& plan = static_cast<SimulatedPlan&>(*now_.plan);
  SimulatedPlan::Device& device = plan.connections[number];
  const FrameHeader request =
      StepRequest(plan.epoch, ++device.tickets, step_, static_cast<uint32_t>(now_.rows.size()));
  now_.awaited[number] = request;
  if (device.lost || !device.line->open(0)) {
    device.lost = true;
    return coordinator_.After(0, [this, step = step_, number] {
      if (step == step_ && computing_) Fail(number);
    });
  }
  const auto answer = [this, step = step_, number](const FrameHeader& header,
                                                   const std::vector<uint64_t>& sums) {
    TakeAnswer(step, number, header, sums);
  };
  device.line->Send(0, [line = device.line, worker = device.worker, request, rows = now_.rows, answer] {
    worker->TakeRequest(line, request, rows, answer);
  });
  const Micros patience =
      std::chrono::duration_cast<std::chrono::microseconds>(device.patience->For(request)).count();
  coordinator_.After(patience, [this, step = step_, number] {
    if (step == step_ && computing_ && now_.awaited.contains(number)) Fail(number);
  });
  // Somebody hears of a loss at once, as a connection that is closed makes Collect fail.
  device.line->OnClosed(0, [this, step = step_, number, weak = std::weak_ptr(now_.plan)] {
    if (const auto locked = weak.lock()) static_cast<SimulatedPlan&>(*locked).connections[number].lost = true;
    if (step == step_ && computing_ && now_.awaited.contains(number)) Fail(number);
  });
}

void Steps::TakeAnswer(uint64_t step, size_t number, const FrameHeader& header,
                       const std::vector<uint64_t>& sums) {
  if (!computing_ || !now_.awaited.contains(number)) return;
  // Of the connection of another plan, or of another step, only where messages get into the wrong connection.
  if (step != step_ && !world_.is_harsh() && !world_.Is(Bug::kAcceptsStaleEpoch)) return;
  FrameHeader seen = header;
  if (world_.Is(Bug::kAcceptsStaleEpoch)) seen.epoch = now_.plan->epoch;
  auto& plan = static_cast<SimulatedPlan&>(*now_.plan);
  const FrameHeader& request = now_.awaited.at(number);
  if (!ValidateAnswer(seen, request, StepShape(plan.epoch)).ok()) {
    if (seen.epoch != plan.epoch) return;  // it was never this connection's
    return Fail(number);
  }
  plan.connections[number].patience->Note(request,
                                          std::chrono::microseconds(world_.loop().now() - now_.started));
  now_.awaited.erase(number);
  for (size_t i = 0; i < sums.size(); ++i) now_.sums[i] += sums[i];
  FinishIfAllAreHere();
}

void Steps::Fail(size_t number) {
  auto& plan = static_cast<SimulatedPlan&>(*now_.plan);
  plan.connections[number].lost = true;
  failed_ = true;
  Finish();
}

void Steps::FinishIfAllAreHere() {
  if (now_.local && now_.awaited.empty()) Finish();
}

void Steps::Finish() {
  computing_ = false;
  const absl::Time now = world_.loop().time();
  const absl::Duration took = absl::Microseconds(world_.loop().now() - now_.started);
  const Step step = std::exchange(now_, {});
  if (failed_) {
    outage_since_ = std::min(outage_since_, now - took);
    if (world_.Is(Bug::kAdmitsTwice)) {
      for (const SchedulerCore::Sampled& sampled : step.sampled) {
        core_.Submit(requests_.at(sampled.id)).IgnoreError();
      }
    }
    keeper_.ReportLostDevice();
    return AwaitPlan();
  }
  outage_since_ = absl::InfiniteFuture();
  for (const BatchRow& row : step.rows) lengths_[row.sequence] = row.position + 1;
  if (step.rows.size() == 1) keeper_.NoteToken(took);
  core_.Complete(took);
  auto sums = step.sums.begin();
  auto row = step.rows.begin();
  for (const auto& [id, rows] : step.sampled) {
    for (; !row->want_logits; ++row) ++sums;
    TakeTokens(id, absl::MakeSpan(&*sums, rows));
    row += rows;
    sums += rows;
  }
  Wake();
}

void Steps::TakeTokens(RequestId id, absl::Span<const uint64_t> sums) {
  for (const uint64_t sum : sums) {
    const TokenId token = ToyModel::Choose(sum);
    const SchedulerCore::After after = core_.Accept(id, token);
    world_.clients().Token(id, token);
    if (after == SchedulerCore::After::kNextRow) continue;
    if (after == SchedulerCore::After::kGoesOn) return;
    core_.End(id);
    return world_.clients().End(id, EndReason::kLength);
  }
}

void Steps::AwaitPlan() {
  const absl::Time now = world_.loop().time();
  outage_since_ = std::min(outage_since_, now);
  if (now - outage_since_ >= kReplanWait) {
    for (const RequestId id : core_.EndAll()) world_.clients().Fail(id);
    return Wake();
  }
  coordinator_.After(kAwaitReady, [this, number = ++timer_] {
    if (number == timer_) Loop();
  });
}

}  // namespace hearth::simulation
