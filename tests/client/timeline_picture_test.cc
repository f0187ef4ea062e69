#include "client/command/timeline_picture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace hearth {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using Event = v1::TimelineEvent;

v1::StepTimeline StepOfTenMs() {
  v1::StepTimeline step;
  step.set_model("demo");
  step.set_epoch(3);
  step.set_rows(1);
  step.set_ms(10);
  return step;
}

Event& Add(v1::StepTimeline& step, Event::Kind kind, const std::string& device, const std::string& what,
           double begin_ms, double end_ms) {
  Event& event = *step.add_events();
  event.set_kind(kind);
  event.set_device(device);
  event.set_what(what);
  event.set_begin_ms(begin_ms);
  event.set_end_ms(end_ms);
  return event;
}

TEST(TimelinePictureTest, WorkStandsWhereItWasAndIsSummedUp) {
  v1::StepTimeline step = StepOfTenMs();
  Add(step, Event::KIND_COMPUTED, "cpu", "attention 0", 0, 2.5);
  Add(step, Event::KIND_COMPUTED, "cpu", "ffn 0", 5, 7.5);
  Add(step, Event::KIND_ANSWERED, "attic", "ffn 0", 5, 10);
  const std::string svg = TimelinePicture(step);
  EXPECT_THAT(svg, HasSubstr("A step of demo, plan 3: 10.00 ms for 1 token<"));
  EXPECT_THAT(svg, HasSubstr("cpu: computed, 5.00 ms, 50 % of the step"));
  EXPECT_THAT(svg, HasSubstr("attic: asked until answered, 5.00 ms, 50 % of the step"));
  EXPECT_THAT(svg, HasSubstr("x=\"20.0\" y=\"82.0\" width=\"290.0\""));   // a quarter of 1160
  EXPECT_THAT(svg, HasSubstr("x=\"600.0\" y=\"82.0\" width=\"290.0\""));  // from the middle on
  EXPECT_THAT(svg, HasSubstr("<title>cpu: ffn 0, 5.000 to 7.500 ms</title>"));
}

TEST(TimelinePictureTest, ReadsAtTheSameTimeStandBelowOneAnotherAndTheirBytesAreSummedUp) {
  v1::StepTimeline step = StepOfTenMs();
  for (const double begin : {1.0, 2.0, 6.0})
    Add(step, Event::KIND_READ, "disk", "block 0", begin, begin + 3).set_bytes(1 << 20);
  Add(step, Event::KIND_AWAITED, "disk", "block 0", 4, 5);
  const std::string svg = TimelinePicture(step);
  EXPECT_THAT(svg, HasSubstr("disk: 3 reads of 3.0 MiB in all"));
  EXPECT_THAT(svg, HasSubstr("disk: waited for, 1.00 ms, 10 % of the step"));
  EXPECT_THAT(svg, HasSubstr("x=\"136.0\" y=\"82.0\""));
  EXPECT_THAT(svg, HasSubstr("x=\"252.0\" y=\"86.0\"")) << "the second while the first is under way";
  EXPECT_THAT(svg, HasSubstr("x=\"716.0\" y=\"82.0\"")) << "the third after it";
}

TEST(TimelinePictureTest, StepWithoutEventsOrTimeIsAPictureAllTheSame) {
  v1::StepTimeline step = StepOfTenMs();
  step.set_ms(0);
  EXPECT_THAT(TimelinePicture(step), HasSubstr("0.00 ms for 1 token"));
  EXPECT_THAT(TimelinePicture(v1::StepTimeline()), HasSubstr("</svg>"));
}

TEST(TimelinePictureTest, NamesStayText) {
  v1::StepTimeline step = StepOfTenMs();
  Add(step, Event::KIND_COMPUTED, "<script>", "ffn & co", 0, 1);
  const std::string svg = TimelinePicture(step);
  EXPECT_THAT(svg, Not(HasSubstr("<script>")));
  EXPECT_THAT(svg, HasSubstr("&lt;script&gt;: ffn &amp; co"));
}

}  // namespace
}  // namespace hearth
