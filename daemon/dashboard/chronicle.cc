#include "daemon/dashboard/chronicle.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/dashboard/proto_json.h"
#include "daemon/grpc_status.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

using nlohmann::json;

constexpr absl::Duration kPatience = absl::Seconds(3);

std::string ServerSentEvent(const char* name, const std::string& data) {
  return absl::StrCat("event: ", name, "\ndata: ", data, "\n\n");
}

std::string StateEvent(const HomeState& state) {
  return ServerSentEvent("state", absl::StrCat("{\"cluster\":", ProtoJson(state.cluster),
                                               ",\"models\":", ProtoJson(state.models), "}"));
}

std::string Dumped(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace

Chronicle::Chronicle(const std::shared_ptr<grpc::Channel>& channel, ChronicleOptions options)
    : options_(std::move(options)),
      cluster_(v1::Cluster::NewStub(channel)),
      models_(v1::Models::NewStub(channel)),
      thread_([this] { Run(); }) {}

void Chronicle::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    if (asking_ != nullptr) asking_->TryCancel();
    wake_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
  Tell();
  MutexLock lock(&listeners_mutex_);
  listeners_.clear();
}

bool Chronicle::ended() const {
  MutexLock lock(&mutex_);
  return stopping_;
}

int Chronicle::Listen(std::function<void()> listener) {
  MutexLock listeners_lock(&listeners_mutex_);
  MutexLock lock(&mutex_);
  if (stopping_ || listeners_.size() >= kListeners) return 0;
  listeners_[++last_listener_] = std::move(listener);
  listened_ = urged_ = true;
  wake_.SignalAll();
  return last_listener_;
}

void Chronicle::Forget(int listener) {
  MutexLock listeners_lock(&listeners_mutex_);
  listeners_.erase(listener);
  MutexLock lock(&mutex_);
  listened_ = !listeners_.empty();
}

void Chronicle::Run() {
  while (AwaitTurn()) {
    Look();
    Sample();
    Tell();
  }
}

bool Chronicle::AwaitTurn() {
  MutexLock lock(&mutex_);
  const auto started = CondVar::Clock::now();
  while (!stopping_ && !urged_) {
    if (!listened_ && !options_.always) {
      wake_.Wait(&mutex_);
      continue;
    }
    const absl::Duration interval = listened_ ? options_.interval : options_.idle_interval;
    if (!wake_.WaitUntil(&mutex_, started + absl::ToChronoNanoseconds(interval))) break;
  }
  urged_ = false;
  return !stopping_;
}

absl::Status Chronicle::Ask(HomeState& state) {
  const auto ask = [this](const auto& call) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kPatience));
    {
      MutexLock lock(&mutex_);
      if (stopping_) return absl::CancelledError("the daemon is stopping");
      asking_ = &context;
    }
    const grpc::Status status = call(&context);
    MutexLock lock(&mutex_);
    asking_ = nullptr;
    return FromGrpcStatus(status);
  };
  HEARTH_RETURN_IF_ERROR(
      ask([&](grpc::ClientContext* context) { return cluster_->Get(context, {}, &state.cluster); }));
  return ask([&](grpc::ClientContext* context) { return models_->List(context, {}, &state.models); });
}

void Chronicle::Look() {
  HomeState state;
  const absl::Status status = Ask(state);
  MutexLock lock(&mutex_);
  if (!stopping_) Take(status, std::move(state));
}

void Chronicle::Take(const absl::Status& status, HomeState state) {
  std::vector<Happening> happenings;
  std::string news;
  if (status.ok()) {
    if (std::exchange(away_, false)) happenings.push_back({"host-joined", "The coordinator answers again"});
    for (Happening& happening : HappeningsBetween(state_, state)) happenings.push_back(std::move(happening));
    // Who begins to listen has it made anew.
    if (listened_) news = StateEvent(state);
    state_ = std::move(state);
  } else {
    const std::string message(status.message());
    if (!std::exchange(away_, true)) happenings.push_back({"host-lost", message});
    news = ServerSentEvent("away", Dumped({{"message", message}}));
  }
  if (news != state_news_) {
    state_news_ = std::move(news);
    ++state_number_;
  }
  for (Happening& happening : happenings) {
    events_.push_back({++event_number_, absl::ToUnixMillis(absl::Now()), std::move(happening)});
    if (events_.size() > kEvents) events_.pop_front();
  }
}

void Chronicle::Sample() {
  const absl::Time now = absl::Now();
  if (now < next_sample_) return;
  next_sample_ = now + options_.sample_interval;
  std::vector<prometheus::MetricFamily> families;
  for (const auto& source : options_.metrics) {
    for (prometheus::MetricFamily& family : source->Collect()) families.push_back(std::move(family));
  }
  MutexLock lock(&mutex_);
  history_.Add(absl::ToUnixMillis(now), families);
  ++sample_number_;
}

void Chronicle::Tell() {
  MutexLock lock(&listeners_mutex_);
  for (const auto& [number, listener] : listeners_) listener();
}

std::string Chronicle::NewsSince(Seen& seen) const {
  MutexLock lock(&mutex_);
  std::string news;
  if (seen.state != state_number_) news += state_news_;
  if (seen.event != event_number_) {
    json list = json::array();
    for (const Event& event : events_) {
      if (event.number <= seen.event) continue;
      list.push_back({{"number", event.number},
                      {"time", event.unix_ms},
                      {"kind", event.what.kind},
                      {"text", event.what.text}});
    }
    news += ServerSentEvent("events", Dumped(list));
  }
  if (seen.sample != sample_number_) news += ServerSentEvent("sample", Dumped(history_.Last(1)));
  seen = {state_number_, event_number_, sample_number_};
  return news;
}

std::string Chronicle::HistoryJson() const {
  MutexLock lock(&mutex_);
  return Dumped(history_.Last());
}

}  // namespace hearth
