#include "client/first_answer.h"

#include "absl/time/clock.h"

namespace hearth {

FirstAnswer::FirstAnswer(grpc::ClientContext& context, absl::Duration patience)
    : thread_([this, &context, patience] {
        const auto end = CondVar::Clock::now() + absl::ToChronoNanoseconds(patience);
        MutexLock lock(&mutex_);
        while (!arrived_ && changed_.WaitUntil(&mutex_, end)) {
        }
        missed_ = !arrived_;
        if (missed_) context.TryCancel();
      }) {}

FirstAnswer::~FirstAnswer() {
  Arrived();
  thread_.join();
}

void FirstAnswer::Arrived() {
  MutexLock lock(&mutex_);
  arrived_ = true;
  changed_.SignalAll();
}

bool FirstAnswer::missed() const {
  MutexLock lock(&mutex_);
  return missed_;
}

}  // namespace hearth
