#include "tests/simulation/clients.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/simulation/coordinator.h"

namespace hearth::simulation {
namespace {

constexpr Micros kAgainAfter = 500'000;
constexpr int kMostAttempts = 12;

}  // namespace

void Clients::Begin(Micros until) {
  const auto wait = static_cast<Micros>(world_.random().Exponential(EventLoop::kSecond));
  world_.loop().At(world_.loop().now() + wait, [this, until] {
    if (world_.loop().now() > until) return;
    Ask(Draw());
    Begin(until);
  });
}

void Clients::AskAll() {
  for (size_t model = 0; model < world_.models().size(); ++model) {
    if (!world_.coordinator()->keepers()[model]->fits()) continue;
    Request request = Draw();
    request.model = model;
    request.deadline = 0;
    request.must_be_whole = true;
    Ask(std::move(request));
  }
}

Clients::Request Clients::Draw() {
  Random& random = world_.random();
  Request request;
  request.model = random.Below(world_.models().size());
  // Some begin alike, as the turns of a chat do.
  const uint64_t stem = random.Below(3);
  const size_t stem_tokens = random.Below(30);
  for (size_t i = 0; i < stem_tokens; ++i) request.prompt.push_back(static_cast<TokenId>(Mix(stem, i) % 7));
  const size_t own_tokens = 1 + random.Below(20);
  for (size_t i = 0; i < own_tokens; ++i)
    request.prompt.push_back(static_cast<TokenId>(random.Below(ToyModel::kTokens)));
  if (random.Chance(0.1))
    request.deadline = world_.loop().now() + static_cast<Micros>(random.Exponential(5e6));
  return request;
}

void Clients::Ask(Request request) {
  const size_t wanted = 4 + world_.random().Below(50);
  request.expected = world_.models()[request.model]->Continue(request.prompt, wanted);
  ++waiting_;
  requests_.push_back(std::move(request));
  Submit(requests_.size() - 1);
}

void Clients::Submit(size_t number) {
  Coordinator* coordinator = world_.coordinator();
  if (coordinator == nullptr) return Again(number);
  if (coordinator->keepers()[requests_[number].model]->slots().Newest() == nullptr) {
    ++requests_[number].attempts;  // UNAVAILABLE: it is loading
    return Again(number);
  }
  SubmitTo(*coordinator, number);
}

void Clients::SubmitTo(Coordinator& coordinator, size_t number) {
  Request& request = requests_[number];
  SchedulerCore::Request entry;
  const RequestId id = entry.id = ++last_id_;
  entry.prompt = request.prompt;
  entry.prompt.insert(entry.prompt.end(), request.expected.begin(),
                      request.expected.begin() + static_cast<ptrdiff_t>(request.got));
  entry.max_tokens = static_cast<uint32_t>(request.expected.size() - request.got);
  if (request.deadline > 0) entry.deadline = absl::UnixEpoch() + absl::Microseconds(request.deadline);
  ++request.attempts;
  attempts_[id] = {number, false};
  const absl::Status status = coordinator.steps(request.model).Submit(std::move(entry));
  if (!status.ok()) {
    attempts_[id].ended = true;
    return Again(number);
  }
  Steps* steps = &coordinator.steps(request.model);
  if (!request.must_be_whole && world_.random().Chance(0.05)) {
    const auto when = static_cast<Micros>(world_.random().Exponential(300'000));
    coordinator.After(when, [this, steps, id, number] {
      requests_[number].cancelled = true;
      steps->Cancel(id);
    });
  }
  if (!request.must_be_whole && world_.random().Chance(0.05)) {
    request.blocked = true;
    const auto when = static_cast<Micros>(world_.random().Exponential(100'000));
    coordinator.After(when, [steps, id] { steps->SetBlocked(id, true); });
    coordinator.After(when + static_cast<Micros>(world_.random().Exponential(3e6)),
                      [steps, id] { steps->SetBlocked(id, false); });
  }
}

Clients::Attempt* Clients::Find(RequestId id, const char* what) {
  const auto attempt = attempts_.find(id);
  if (attempt != attempts_.end() && !attempt->second.ended) return &attempt->second;
  world_.Violate(absl::StrCat(what, " for request ", id, ", which has ended"));
  return nullptr;
}

void Clients::Token(RequestId id, TokenId token) {
  const Attempt* attempt = Find(id, "a token");
  if (attempt == nullptr) return;
  Request& request = requests_[attempt->request];
  ++tokens_;
  if (request.got == request.expected.size())
    return world_.Violate(absl::StrCat("a token too many for request ", id));
  const TokenId expected = request.expected[request.got];
  if (token != expected) {
    return world_.Violate(
        absl::StrCat("request ", id, " gets token ", token, " at ", request.got, ", not ", expected));
  }
  ++request.got;
}

void Clients::End(RequestId id, EndReason reason) {
  Attempt* attempt = Find(id, "an end");
  if (attempt == nullptr) return;
  attempt->ended = true;
  Request& request = requests_[attempt->request];
  const bool whole = request.got == request.expected.size();
  const bool as_asked = reason == EndReason::kLength      ? whole
                        : reason == EndReason::kCancelled ? request.cancelled
                        : reason == EndReason::kDeadline  ? request.deadline > 0
                                                          : request.blocked;
  if (!as_asked) world_.Violate(absl::StrCat("request ", id, " ends for reason ", static_cast<int>(reason)));
  whole_ += whole;
  Finish(request);
}

void Clients::Finish(Request& request) {
  request.ended = true;
  --waiting_;
}

void Clients::Fail(RequestId id) {
  Attempt* attempt = Find(id, "a failure");
  if (attempt == nullptr) return;
  attempt->ended = true;
  Again(attempt->request);
}

void Clients::LoseCoordinator() {
  for (auto& [id, attempt] : attempts_) {
    if (!std::exchange(attempt.ended, true)) Again(attempt.request);
  }
}

void Clients::Again(size_t number) {
  Request& request = requests_[number];
  const bool late = request.deadline > 0 && request.deadline <= world_.loop().now();
  if (request.cancelled || late || request.attempts >= kMostAttempts) {
    if (request.must_be_whole) world_.Violate("a request that nothing disturbs was not answered");
    return Finish(request);
  }
  ++retries_;
  world_.loop().At(world_.loop().now() + kAgainAfter, [this, number] { Submit(number); });
}

}  // namespace hearth::simulation
