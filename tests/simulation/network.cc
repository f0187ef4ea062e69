#include "tests/simulation/network.h"

#include <algorithm>

namespace hearth::simulation {

void Line::Send(int from, std::function<void()> arrive) {
  if (!open_[from]) return;
  if (network_.IsCut(ends_[from]->machine().number, ends_[1 - from]->machine().number)) {
    held_[from].push_back(std::move(arrive));
    return;
  }
  Deliver(from, std::move(arrive));
}

void Line::Deliver(int from, std::function<void()> arrive) {
  last_[from] = std::max(last_[from], network_.loop().now() + network_.Delay());
  ends_[1 - from]->At(last_[from], [self = shared_from_this(), to = 1 - from, arrive = std::move(arrive)] {
    if (self->open_[to]) arrive();
  });
}

void Line::Close(int from) {
  if (!open_[from]) return;
  Send(from, [this, to = 1 - from] { Hear(to); });
  open_[from] = false;
  on_closed_[from] = nullptr;
}

void Line::Die(int end, bool word) {
  const int other = 1 - end;
  if (word && open_[end]) Send(end, [this, other] { Hear(other); });
  open_[end] = false;
  on_closed_[end] = nullptr;
}

void Line::Hear(int end) {
  if (!std::exchange(open_[end], false)) return;
  if (const auto closed = std::exchange(on_closed_[end], nullptr)) closed();
}

std::shared_ptr<Line> Network::Connect(Process& caller, Process& called) {
  Forget();
  auto line = std::make_shared<Line>(*this, caller, called);
  lines_.push_back(line);
  return line;
}

void Network::Forget() {
  std::erase_if(lines_, [](const auto& line) { return !line->open(0) && !line->open(1); });
}

void Network::Break(Process& process, bool word) {
  for (const auto& line : std::vector(lines_)) {
    for (const int end : {0, 1}) {
      if (&line->end(end) == &process) line->Die(end, word);
    }
  }
}

bool Network::IsCut(int from, int to) const {
  const auto cut = cuts_.find({from, to});
  return cut != cuts_.end() && cut->second > 0;
}

void Network::Heal(int from, int to) {
  if (const auto cut = cuts_.find({from, to}); cut == cuts_.end() || --cut->second > 0) return;
  cuts_.erase({from, to});
  for (const auto& line : std::vector(lines_)) {
    for (const int end : {0, 1}) {
      if (line->end(end).machine().number != from || line->end(1 - end).machine().number != to) continue;
      for (auto& arrive : std::exchange(line->held_[end], {})) line->Deliver(end, std::move(arrive));
    }
  }
}

void Network::HealAll() {
  while (!cuts_.empty()) {
    const auto [from, to] = cuts_.begin()->first;
    cuts_.begin()->second = 1;
    Heal(from, to);
  }
}

Micros Network::Delay() {
  constexpr double kRetransmission = 200'000;
  double delay = 0.5 * static_cast<double>(round_trip_) + random_.Exponential(50);
  if (loss_ > 0) {
    for (double again = kRetransmission; random_.Chance(loss_); again *= 2) delay += again;
  }
  return static_cast<Micros>(delay);
}

}  // namespace hearth::simulation
