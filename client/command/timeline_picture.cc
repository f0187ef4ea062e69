#include "client/command/timeline_picture.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/command/svg.h"
#include "client/library/bytes_text.h"

namespace hearth {
namespace {

using Event = v1::TimelineEvent;

constexpr int kStepWidth = 1200, kStepLeft = 20, kStepRight = 1180, kStepTop = 64;
constexpr int kLane = 40, kBox = 18, kRead = 4;
constexpr int kMostReadLines = 32;  // of more at the same time the last ones lie on one another
constexpr double kPale = 0.35;
constexpr char kAttention[] = "hsl(210,65%,42%)", kFfn[] = "hsl(25,80%,45%)", kOutput[] = "hsl(140,55%,35%)",
               kDisk[] = "hsl(280,45%,45%)", kAwaited[] = "hsl(0,70%,45%)";

// The boxes of one line, and what to say of them.
struct Lane {
  std::string device;
  Event::Kind kind;
  std::vector<const Event*> events;
};

bool IsOfDisk(const Event& event) {
  return event.kind() == Event::KIND_READ || event.kind() == Event::KIND_AWAITED;
}

const char* ColorOf(const Event& event) {
  if (event.kind() == Event::KIND_READ) return kDisk;
  if (event.kind() == Event::KIND_AWAITED) return kAwaited;
  if (absl::StartsWith(event.what(), "ffn")) return kFfn;
  return event.what() == "output" ? kOutput : kAttention;
}

// In the order in which they first have something to do, disks last.
std::vector<Lane> LanesOf(const v1::StepTimeline& step) {
  std::vector<const Event*> events;
  for (const Event& event : step.events()) events.push_back(&event);
  std::stable_sort(events.begin(), events.end(), [](const Event* a, const Event* b) {
    return std::make_pair(IsOfDisk(*a), a->begin_ms()) < std::make_pair(IsOfDisk(*b), b->begin_ms());
  });
  std::vector<Lane> lanes;
  for (const Event* event : events) {
    const auto found = std::find_if(lanes.begin(), lanes.end(), [&](const Lane& lane) {
      return lane.device == event->device() && lane.kind == event->kind();
    });
    Lane& lane = found == lanes.end() ? lanes.emplace_back(Lane{event->device(), event->kind(), {}}) : *found;
    lane.events.push_back(event);
  }
  return lanes;
}

std::string WordsOf(const Lane& lane, double step_ms) {
  double ms = 0;
  uint64_t bytes = 0;
  for (const Event* event : lane.events) {
    ms += event->end_ms() - event->begin_ms();
    bytes += event->bytes();
  }
  const std::string share =
      absl::StrFormat("%.2f ms, %.0f %% of the step", ms, 100 * ms / std::max(step_ms, 1e-9));
  switch (lane.kind) {
    case Event::KIND_READ:
      return absl::StrCat(lane.device, ": ", lane.events.size(), " reads of ", BytesText(bytes), " in all");
    case Event::KIND_AWAITED:
      return absl::StrCat(lane.device, ": waited for, ", share);
    case Event::KIND_ANSWERED:
      return absl::StrCat(lane.device, ": asked until answered, ", share);
    default:
      return absl::StrCat(lane.device, ": computed, ", share);
  }
}

std::string TitleOf(const Event& event) {
  std::string text = absl::StrFormat("%s: %s, %.3f to %.3f ms", event.device(), event.what(),
                                     event.begin_ms(), event.end_ms());
  if (event.bytes() > 0) absl::StrAppend(&text, ", ", BytesText(event.bytes()));
  return text;
}

class Picture {
 public:
  explicit Picture(const v1::StepTimeline& step) : step_(step) {}

  std::string Draw() {
    std::string body = Axis();
    for (const Lane& lane : LanesOf(step_)) {
      body += SvgText(kStepLeft, y_ + 12, "start", WordsOf(lane, step_.ms()));
      y_ += kLane - kBox - 4;
      body += lane.kind == Event::KIND_READ ? Reads(lane) : Boxes(lane);
    }
    return SvgBegin(kStepWidth, static_cast<int>(y_) + 20) + Title() + body + kSvgEnd;
  }

 private:
  double X(double ms) const { return kStepLeft + (kStepRight - kStepLeft) * ms / std::max(step_.ms(), 1e-9); }

  std::string Title() const {
    return SvgText(kStepLeft, 24, "start",
                   absl::StrFormat("A step of %s, plan %d: %.2f ms for %d token%s", step_.model(),
                                   step_.epoch(), step_.ms(), step_.rows(), step_.rows() == 1 ? "" : "s")) +
           SvgBox(kStepRight - 300, 14, 12, 12, kAttention, 1) +
           SvgText(kStepRight - 284, 24, "start", "attention, layers") +
           SvgBox(kStepRight - 170, 14, 12, 12, kFfn, 1) +
           SvgText(kStepRight - 154, 24, "start", "feed-forward") +
           SvgBox(kStepRight - 70, 14, 12, 12, kOutput, 1) + SvgText(kStepRight - 54, 24, "start", "output");
  }

  // About ten marks at round times.
  std::string Axis() const {
    const double rough = std::max(step_.ms(), 1e-6) / 10;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    const double mark = power * (rough / power < 2 ? 2 : rough / power < 5 ? 5 : 10);
    std::string svg;
    for (int i = 0; i * mark <= step_.ms(); ++i)
      svg += SvgText(X(i * mark), kStepTop - 16, "middle", absl::StrCat(i * mark, i == 0 ? " ms" : ""));
    return svg;
  }

  std::string Box(const Event& event, double y, double height) const {
    const double x = X(event.begin_ms()), width = std::max(X(event.end_ms()) - x, 0.3);
    const double opacity = event.kind() == Event::KIND_ANSWERED ? kPale : 1;
    return SvgBox(x, y, width, height, ColorOf(event), opacity, TitleOf(event));
  }

  std::string Boxes(const Lane& lane) {
    std::string svg;
    for (const Event* event : lane.events) svg += Box(*event, y_, kBox);
    y_ += kBox + 10;
    return svg;
  }

  // Each on the first line that is free by then.
  std::string Reads(const Lane& lane) {
    std::string svg;
    std::vector<double> free_from;
    for (const Event* event : lane.events) {
      auto line = std::find_if(free_from.begin(), free_from.end(),
                               [&](double free) { return free <= event->begin_ms(); });
      if (line == free_from.end() && free_from.size() < kMostReadLines) line = free_from.insert(line, 0);
      if (line == free_from.end()) line = std::min_element(free_from.begin(), free_from.end());
      *line = event->end_ms();
      svg += Box(*event, y_ + static_cast<double>(line - free_from.begin()) * kRead, kRead - 1);
    }
    y_ += static_cast<double>(free_from.size()) * kRead + 10;
    return svg;
  }

  const v1::StepTimeline& step_;
  double y_ = kStepTop;
};

}  // namespace

std::string TimelinePicture(const v1::StepTimeline& step) { return Picture(step).Draw(); }

}  // namespace hearth
