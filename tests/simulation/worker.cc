#include "tests/simulation/worker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/simulation/coordinator.h"

namespace hearth::simulation {
namespace {

// Of fetching and placing, after which it is looked whether that is still wanted.
constexpr Micros kLongestPiece = 100'000;
constexpr double kFetchBytesPerSecond = 2e9;
constexpr double kPlaceBytesPerSecond = 8e9;

Micros TimeOf(uint64_t bytes, double bytes_per_s) {
  return static_cast<Micros>(1e6 * static_cast<double>(bytes) / bytes_per_s);
}

}  // namespace

Worker::Worker(World& world, WorkerHost& host)
    : Process(world.loop(), *host.machine), world_(world), host_(host) {
  DeviceCapacity device;
  device.name = "cpu";
  device.memory_budget_bytes =
      static_cast<uint64_t>(host.budget * static_cast<double>(host.machine->free_bytes()));
  device.threads = 4;
  device.read_bytes_per_s = host.read_bytes_per_s * world.random().Uniform(0.8, 1.25);
  device.operations_per_s = 1e11;
  device.dispatch_us = 5;
  capacity_.memory_bytes = host.machine->memory_bytes - host.machine->others_bytes;
  capacity_.devices = {device};
}

void Worker::Start() { Call(); }

void Worker::Crash() {
  Die();
  published_.clear();
  connections_.clear();
  jobs_ = {};
  never_let_go_.clear();
  line_ = nullptr;
}

// ---- The Synchronize stream: what Worker::Synchronize does.

void Worker::Call() {
  sync_.Begin(loop().steady());
  report_now_ = true;
  line_ = nullptr;
  Coordinator* coordinator = world_.coordinator();
  if (coordinator == nullptr) return HangUp(absl::UnavailableError("nobody listens"));
  line_ = world_.network().Connect(*this, *coordinator);
  line_->OnClosed(0, [this] { HangUp(absl::UnavailableError("the stream has ended")); });
  Poll();
}

void Worker::Poll() {
  if (line_ == nullptr) return;
  if (absl::Status silent = sync_.CheckSilence(loop().steady()); !silent.ok()) {
    line_->Close(0);
    return HangUp(silent);
  }
  if (sync_.ReportIsDue(report_now_, loop().steady())) {
    report_now_ = false;
    sync_.NoteReport(loop().steady());
    line_->Send(0, [coordinator = static_cast<Coordinator*>(&line_->end(1)), line = line_,
                    report = MakeReport(), worker = this] {
      coordinator->TakeReport(line, report, worker,
                              [worker](const DesiredShards& desired) { worker->TakeAnswer(desired); });
    });
  }
  const Micros next =
      std::chrono::duration_cast<std::chrono::microseconds>(sync_.next_report().time_since_epoch()).count();
  At(next, [this, number = ++poll_number_] {
    if (number == poll_number_) Poll();
  });
}

void Worker::HangUp(const absl::Status& why) {
  line_ = nullptr;
  world_.Log(absl::StrCat(host_.name, ": not in the cluster: ", why.message()));
  After(std::chrono::microseconds(sync_.NextPause()).count(), [this] { Call(); });
}

void Worker::TakeAnswer(const DesiredShards& desired) {
  if (sync_.TakeAnswer(desired, loop().steady())) {
    if (session_ != desired.token) {
      session_ = desired.token;
      for (const Connection& connection : connections_) connection.line->Close(1);
      connections_.clear();
    }
    desired_token_ = desired.token;
    desired_ = desired.shards;
    desired_is_new_ = true;
    Load();
    report_now_ = true;
  }
  Poll();
}

WorkerReport Worker::MakeReport() const {
  WorkerReport report;
  report.host = host_.name;
  report.version = "1";
  report.tensor_address = absl::StrCat("10.0.0.", machine().number, ":", host_.name);
  report.capacity = capacity_;
  report.revision = sync_.revision();
  report.identity = host_.identity;
  report.identity.machine = absl::StrCat("boot-", machine().number, "-", machine().boots);
  if (world_.Is(Bug::kCountsMachineTwice)) report.identity.machine += host_.name;
  report.problem = problem_;
  if (report.revision == 0 || desired_is_new_) return report;
  for (const auto& [epoch, job] : jobs_.all()) report.shards.push_back(job.status);
  return report;
}

void Worker::Changed() {
  report_now_ = true;
  After(0, [this] { Poll(); });
}

// ---- Shards: what ShardLoader does.

absl::Status Worker::StillWanted() const {
  return desired_is_new_ ? absl::AbortedError("the desired state has changed") : absl::OkStatus();
}

void Worker::TakeDesired() {
  desired_is_new_ = false;
  Jobs former = jobs_;
  Jobs next = former.Follow(desired_token_, desired_);
  for (auto& [epoch, job] : next.all()) Adopt(job, former);
  for (const uint64_t epoch : former.EndedIn(next)) {
    Withdraw(epoch);
    if (const auto& pieces = former.all().at(epoch).held.pieces; world_.Is(Bug::kKeepsFormerWeights))
      never_let_go_.push_back(pieces);
  }
  jobs_ = std::move(next);
  Changed();
}

// What others hold of the shard is the shard's as well.
void Worker::Adopt(Jobs::Job& job, const Jobs& others) const {
  if (job.held.pieces == nullptr) job.held.pieces = std::make_shared<Pieces>();
  if (job.ready) return;
  for (const PlacedUnit& placed : job.description.units) {
    for (const auto& [epoch, other] : others.all()) {
      if (other.held.pieces == nullptr || other.description.model_digest != job.description.model_digest)
        continue;
      const auto piece = other.held.pieces->find(placed.unit);
      if (piece != other.held.pieces->end()) job.held.pieces->insert(*piece);
    }
  }
}

void Worker::Withdraw(uint64_t epoch) {
  published_.erase(epoch);
  std::erase_if(connections_, [epoch](const Connection& connection) {
    if (connection.epoch == epoch) connection.line->Close(1);
    return connection.epoch == epoch;
  });
}

void Worker::Load() {
  if (working_) return;
  if (desired_is_new_) TakeDesired();
  Jobs::Job* job = jobs_.Next();
  if (job == nullptr) return;
  if (job->not_before > loop().steady()) {
    const Micros wait =
        std::chrono::duration_cast<std::chrono::microseconds>(job->not_before - loop().steady()).count();
    return After(wait, [this, number = ++load_number_] {
      if (number == load_number_) Load();
    });
  }
  working_ = true;
  Adopt(*job, jobs_);
  const uint64_t epoch = job->description.epoch;
  std::vector<BundleId> to_fetch;
  uint64_t missing = 0, to_fetch_bytes = 0;
  for (const PlacedUnit& placed : job->description.units) {
    if (job->held.pieces->contains(placed.unit)) continue;
    missing += placed.bundle.bytes;
    if (host_.disk.contains(placed.bundle.sha256)) continue;
    to_fetch.push_back(placed.bundle);
    to_fetch_bytes += placed.bundle.bytes;
  }
  job->status.bytes_done = job->status.bytes_total - to_fetch_bytes;
  job->status.short_bytes = ShortBytes(missing, machine().free_bytes());
  if (const absl::Status room = CheckRoom(missing, machine().free_bytes()); !room.ok())
    return Finish(epoch, room);
  Fetch(epoch, std::move(to_fetch));
}

void Worker::Fetch(uint64_t epoch, std::vector<BundleId> missing) {
  if (const absl::Status wanted = StillWanted(); !wanted.ok()) return Finish(epoch, wanted);
  if (missing.empty()) return Place(epoch);
  Coordinator* coordinator = world_.coordinator();
  if (coordinator == nullptr || !coordinator->KnowsToken(jobs_.token()) ||
      world_.network().IsCutEitherWay(machine().number, coordinator->machine().number)) {
    return Finish(epoch, absl::UnavailableError("cannot fetch weights"));
  }
  if (host_.disk_is_full) return Finish(epoch, absl::FailedPreconditionError("no space left on device"));
  const BundleId bundle = missing.back();
  missing.pop_back();
  const Micros time = TimeOf(bundle.bytes, std::min(kFetchBytesPerSecond, host_.disk_bytes_per_s));
  After(std::min(time, 10 * kLongestPiece), [this, epoch, bundle, missing = std::move(missing)]() mutable {
    host_.disk.insert(bundle.sha256);
    if (const auto job = jobs_.all().find(epoch); job != jobs_.all().end()) {
      job->second.status.bytes_done += bundle.bytes;
    }
    Fetch(epoch, std::move(missing));
  });
}

void Worker::Place(uint64_t epoch) {
  if (const absl::Status wanted = StillWanted(); !wanted.ok()) return Finish(epoch, wanted);
  Jobs::Job& job = jobs_.all().at(epoch);
  for (const PlacedUnit& placed : job.description.units) {
    if (job.held.pieces->contains(placed.unit)) continue;
    if (placed.bundle.bytes > machine().free_bytes())
      return Finish(epoch, absl::ResourceExhaustedError("no memory for its weights"));
    auto piece = std::make_shared<Piece>(machine(), placed.bundle.bytes);
    piece->cache_id = world_.random().Next();
    (*job.held.pieces)[placed.unit] = std::move(piece);
    world_.CheckMemory();
    return After(TimeOf(placed.bundle.bytes, kPlaceBytesPerSecond), [this, epoch] { Place(epoch); });
  }
  Finish(epoch, absl::OkStatus());
}

void Worker::Finish(uint64_t epoch, const absl::Status& status) {
  working_ = false;
  if (absl::IsAborted(status)) return Load();
  Jobs::Job& job = jobs_.all().at(epoch);
  if (status.ok()) {
    published_[epoch] = job.held.pieces;
    job.ready = true;
    job.status.phase = ShardPhase::kReady;
    job.status.detail.clear();
    job.status.bytes_done = job.status.bytes_total;
    problem_.clear();
  } else {
    const ShardFailure failure = JudgeShardFailure(status);
    if (failure.disk_is_full && problem_.empty()) {
      problem_ = std::string(status.message());
      After(EventLoop::kSecond, [this] { LookAgain(); });
    }
    job.not_before = loop().steady() + failure.again_after;
    job.status.phase = failure.phase;
    job.status.detail = std::string(status.message());
  }
  world_.Log(absl::StrCat(host_.name, ": plan ", epoch, ": ", status.ok() ? "ready" : status.message()));
  Changed();
  Load();
}

void Worker::LookAgain() {
  if (problem_.empty()) return;
  if (host_.disk_is_full) return After(EventLoop::kSecond, [this] { LookAgain(); });
  problem_.clear();
  Changed();
}

// ---- The tensor channel: what TensorServer does.

std::optional<std::map<UnitId, uint64_t>> Worker::Greet(const std::shared_ptr<Line>& line,
                                                        const SessionToken& token, uint64_t epoch) {
  const auto part = published_.find(epoch);
  if (token != session_ || part == published_.end()) {
    line->Close(1);
    return std::nullopt;
  }
  connections_.push_back({line, epoch, part->second});
  line->OnClosed(1, [this, line] {
    std::erase_if(connections_, [&](const Connection& connection) { return connection.line == line; });
  });
  std::map<UnitId, uint64_t> caches;
  for (const auto& [unit, piece] : *part->second) {
    if (unit.kind == UnitKind::kHeads) caches[unit] = piece->cache_id;
  }
  return caches;
}

Pieces* Worker::PiecesOf(const std::shared_ptr<Line>& line) {
  if (!alive() || stopped_until() > loop().now()) return nullptr;
  for (const Connection& connection : connections_) {
    if (connection.line == line) return connection.pieces.get();
  }
  return nullptr;
}

void Worker::TakeRequest(const std::shared_ptr<Line>& line, const FrameHeader& header,
                         const std::vector<BatchRow>& rows, const AnswerHandler& answer) {
  const auto connection = std::find_if(connections_.begin(), connections_.end(),
                                       [&](const auto& other) { return other.line == line; });
  if (connection == connections_.end()) return;
  if (!ValidateRequest(header, StepShape(connection->epoch)).ok()) {
    line->Close(1);
    connections_.erase(connection);
    return;
  }
  std::vector<uint64_t> sums(rows.size());
  const ToyModel* model = nullptr;
  uint64_t bytes = 0;
  for (const auto& known : world_.models()) {
    const auto job = jobs_.all().find(connection->epoch);
    if (job != jobs_.all().end() && job->second.description.model == known->name()) model = known.get();
  }
  if (model == nullptr) return;
  for (const auto& [unit, piece] : *connection->pieces) bytes += piece->bytes();
  Compute(*model, *connection->pieces, rows, sums);
  const double speed = host_.read_bytes_per_s * machine().speed;
  After(TimeOf(bytes, speed), [this, line, header, sums, answer] {
    line->Send(1, [header, sums, answer] { answer(StepAnswer(header), sums); });
    if (!world_.is_harsh() || !world_.random().Chance(0.03)) return;
    const auto late = static_cast<Micros>(world_.random().Exponential(EventLoop::kSecond));
    line->end(0).After(late, [header, sums, answer] { answer(StepAnswer(header), sums); });
  });
}

// ---- For invariants.

uint64_t Worker::held_bytes() const {
  std::map<const Piece*, uint64_t> held;
  const auto add = [&](const std::shared_ptr<Pieces>& pieces) {
    if (pieces == nullptr) return;
    for (const auto& [unit, piece] : *pieces) held[piece.get()] = piece->bytes();
  };
  for (const auto& [epoch, job] : jobs_.all()) add(job.held.pieces);
  for (const auto& [epoch, pieces] : published_) add(pieces);
  for (const auto& pieces : never_let_go_) add(pieces);
  uint64_t bytes = 0;
  for (const auto& [piece, of_piece] : held) bytes += of_piece;
  return bytes;
}

uint64_t Worker::wanted_bytes() const {
  std::map<Sha256Digest, uint64_t> wanted;
  for (const auto& [epoch, job] : jobs_.all()) {
    for (const PlacedUnit& placed : job.description.units) wanted[placed.bundle.sha256] = placed.bundle.bytes;
  }
  uint64_t bytes = 0;
  for (const auto& [bundle, of_bundle] : wanted) bytes += of_bundle;
  return bytes;
}

}  // namespace hearth::simulation
