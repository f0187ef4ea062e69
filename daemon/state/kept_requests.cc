#include "daemon/state/kept_requests.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr size_t kFewestIdBytes = 16;
constexpr size_t kMostIdBytes = 128;
// How often those are looked for whose time is over.
constexpr absl::Duration kLook = absl::Seconds(15);

size_t BytesOf(const KeptRequest& request) {
  return request.content.size() + request.tokens.size() * sizeof(int32_t);
}

uint64_t DrawSeed() {
  std::random_device entropy;
  return static_cast<uint64_t>(entropy()) << 32 | entropy();
}

// Whether the one that comes is the one that is kept.
bool IsSame(const KeptRequest& comes, const KeptRequest& kept) {
  return comes.kind == kept.kind && comes.content == kept.content &&
         comes.seed.value_or(*kept.seed) == *kept.seed;
}

// Whether a request that ended so may be gone on with.
bool GoesOn(const absl::Status& status, const KeptRequest& request) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnavailable:
      return true;
    case absl::StatusCode::kResourceExhausted:
      return !request.tokens.empty();
    default:
      return false;
  }
}

}  // namespace

KeptRequests::KeptRequests(StateStore* store, KeptRequestsLimits limits, Clock clock)
    : store_(store), limits_(limits), clock_(std::move(clock)) {
  Load();
  thread_ = std::thread([this] { Run(); });
}

KeptRequests::~KeptRequests() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  thread_.join();
}

absl::Status KeptRequests::CheckId(const std::string& id) {
  const bool fits = id.size() >= kFewestIdBytes && id.size() <= kMostIdBytes &&
                    std::all_of(id.begin(), id.end(), [](unsigned char c) {
                      return absl::ascii_isalnum(c) || c == '-' || c == '_';
                    });
  if (fits) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("request_id has ", kFewestIdBytes, " to ", kMostIdBytes,
                                                 " letters, digits, '-' and '_'; draw 128 random bits"));
}

absl::Status KeptRequests::OtherModel() {
  return absl::FailedPreconditionError(
      "the request began with another file of this model; send it anew, under another request_id");
}

void KeptRequests::Load() {
  if (store_ == nullptr) return;
  absl::StatusOr<std::vector<KeptRequest>> requests = store_->Requests();
  MutexLock lock(&mutex_);
  if (!requests.ok()) return NoteWritten(requests.status());
  for (KeptRequest& request : *requests) {
    const size_t tokens = request.tokens.size();
    const RequestName name = request.name;
    if (CheckId(name.id).ok()) {
      entries_[name] = {.request = std::move(request), .stored = true, .stored_tokens = tokens};
    } else {
      removed_.push_back(name);
    }
  }
  EraseOld();
  MakeRoom(0, 0);
  if (!entries_.empty()) spdlog::info("{} requests can be resumed", entries_.size());
}

absl::StatusOr<KeptRequest> KeptRequests::Find(const RequestName& name) const {
  MutexLock lock(&mutex_);
  const auto found = entries_.find(name);
  if (found != entries_.end()) return found->second.request;
  return absl::NotFoundError(
      "no request of this request_id is kept for you; it may have ended long ago: send it again");
}

absl::StatusOr<KeptRequests::Begun> KeptRequests::Begin(KeptRequest request,
                                                        const std::weak_ptr<RequestRun>& run) {
  MutexLock lock(&mutex_);
  EraseOld();
  auto found = entries_.find(request.name);
  const bool joined = found != entries_.end();
  if (!joined) {
    MakeRoom(1, BytesOf(request));
    if (!request.seed) request.seed = DrawSeed();
    const RequestName name = request.name;
    found = entries_.emplace(name, Entry{.request = std::move(request)}).first;
  } else {
    const KeptRequest& kept = found->second.request;
    if (!IsSame(request, kept)) {
      return absl::AlreadyExistsError("another request has this request_id; draw a new one for each");
    }
    if (kept.digest != request.digest) return OtherModel();
  }
  Entry& entry = found->second;
  entry.run = ++last_run_;
  entry.request.used = clock_();
  const std::shared_ptr<RequestRun> before = std::exchange(entry.runner, run).lock();
  Changed();
  Begun begun{entry.run, joined, entry.request};
  lock.Unlock();
  if (before) before->GiveUp(absl::AbortedError("the request was resumed elsewhere"));
  return begun;
}

void KeptRequests::SetTokens(const RequestName& name, uint64_t run, std::vector<int32_t> tokens) {
  MutexLock lock(&mutex_);
  Entry* const entry = Current(name, run);
  if (entry == nullptr || entry->request.tokens == tokens) return;
  entry->request.tokens = std::move(tokens);
  entry->stored = false;
  Changed();
}

void KeptRequests::Append(const RequestName& name, uint64_t run, size_t first,
                          absl::Span<const int32_t> tokens) {
  MutexLock lock(&mutex_);
  Entry* const entry = Current(name, run);
  if (entry == nullptr) return;
  std::vector<int32_t>& known = entry->request.tokens;
  if (first > known.size() || first + tokens.size() <= known.size()) return;
  known.insert(known.end(), tokens.begin() + static_cast<std::ptrdiff_t>(known.size() - first), tokens.end());
  entry->request.used = clock_();
  Changed();
}

void KeptRequests::End(const RequestName& name, uint64_t run, const absl::Status& status) {
  MutexLock lock(&mutex_);
  Entry* const entry = Current(name, run);
  if (entry != nullptr && !GoesOn(status, entry->request)) Erase(entries_.find(name));
}

void KeptRequests::Cancel(const RequestName& name) {
  std::shared_ptr<RequestRun> runner;
  {
    MutexLock lock(&mutex_);
    const auto found = entries_.find(name);
    if (found == entries_.end()) return;
    runner = found->second.runner.lock();
    Erase(found);
  }
  if (runner) runner->GiveUp(absl::CancelledError("the request was cancelled"));
}

size_t KeptRequests::size() const {
  MutexLock lock(&mutex_);
  return entries_.size();
}

void KeptRequests::AwaitWritten() {
  MutexLock lock(&mutex_);
  const uint64_t wanted = changes_;
  while (store_ != nullptr && settled_ < wanted) written_.Wait(&mutex_);
}

KeptRequests::Entry* KeptRequests::Current(const RequestName& name, uint64_t run) {
  const auto found = entries_.find(name);
  return found != entries_.end() && found->second.run == run ? &found->second : nullptr;
}

void KeptRequests::Changed() {
  if (changes_++ == settled_) changed_.Signal();  // else the writer is at it already
}

void KeptRequests::Erase(Entries::iterator entry) {
  if (store_ != nullptr && !failing_) removed_.push_back(entry->first);
  entries_.erase(entry);
  Changed();
}

void KeptRequests::EraseOld() {
  const absl::Time oldest = clock_() - limits_.life;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto next = std::next(entry);
    if (entry->second.request.used < oldest && entry->second.runner.expired()) Erase(entry);
    entry = next;
  }
}

void KeptRequests::MakeRoom(size_t requests, size_t bytes) {
  while (!entries_.empty() &&
         (entries_.size() + requests > limits_.requests || Bytes() + bytes > limits_.bytes)) {
    Erase(std::min_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) {
      return a.second.request.used < b.second.request.used;
    }));
  }
}

size_t KeptRequests::Bytes() const {
  size_t bytes = 0;
  for (const auto& [name, entry] : entries_) bytes += BytesOf(entry.request);
  return bytes;
}

void KeptRequests::Run() {
  MutexLock lock(&mutex_);
  while (AwaitChange()) {
    lock.Unlock();
    Write();
    lock.Lock();
  }
  lock.Unlock();
  Write();
}

bool KeptRequests::AwaitChange() {
  // Those that come one soon after the other are written together.
  const auto collected =
      CondVar::Clock::now() + absl::ToChronoNanoseconds(failing_ ? limits_.retry_after : limits_.write_after);
  while (!stopping_ && changed_.WaitUntil(&mutex_, collected)) {
  }
  while (!stopping_ && (store_ == nullptr || changes_ == settled_)) {
    if (!changed_.WaitFor(&mutex_, absl::ToChronoNanoseconds(kLook))) EraseOld();
  }
  return !stopping_;
}

RequestChanges KeptRequests::TakeChanges() {
  RequestChanges changes;
  taken_ = changes_;
  changes.forget_all = std::exchange(forget_all_, false);
  changes.removed = std::exchange(removed_, {});
  for (auto& [name, entry] : entries_) {
    const std::vector<int32_t>& tokens = entry.request.tokens;
    if (!entry.stored) {
      changes.put.push_back(entry.request);
    } else if (tokens.size() > entry.stored_tokens) {
      changes.appended.push_back(
          {name,
           entry.stored_tokens,
           {tokens.begin() + static_cast<std::ptrdiff_t>(entry.stored_tokens), tokens.end()},
           entry.request.used});
    }
    entry.stored = true;
    entry.stored_tokens = tokens.size();
  }
  return changes;
}

void KeptRequests::Write() {
  if (store_ == nullptr) return;
  MutexLock lock(&mutex_);
  const RequestChanges changes = TakeChanges();
  lock.Unlock();
  const absl::Status status = changes.empty() ? absl::OkStatus() : store_->Write(changes);
  lock.Lock();
  NoteWritten(status);
}

void KeptRequests::NoteWritten(const absl::Status& status) {
  settled_ = taken_;
  written_.SignalAll();
  if (status.ok() && std::exchange(failing_, false)) spdlog::info("requests outlive this daemon again");
  if (status.ok()) return;
  if (!std::exchange(failing_, true)) {
    spdlog::warn("requests do not outlive this daemon for now: {}", Printable(status.message()));
  }
  // Written anew as a whole, once that works.
  forget_all_ = true;
  removed_.clear();
  for (auto& [name, entry] : entries_) {
    entry.stored = false;
    entry.stored_tokens = 0;
  }
  ++changes_;
}

}  // namespace hearth
