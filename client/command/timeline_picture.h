#ifndef HEARTH_CLIENT_COMMAND_TIMELINE_PICTURE_H_
#define HEARTH_CLIENT_COMMAND_TIMELINE_PICTURE_H_

#include <string>

#include "proto/hearth/v1/models.pb.h"

namespace hearth {

// An SVG picture of one step: time runs to the right, and each device has a line with a box for each piece of
// work, dark while it computed and pale while it was asked from elsewhere. Below them reads of the disk,
// those at the same time one under the other, and what was waited for. A line in words for each tells how
// much of the step that was.
std::string TimelinePicture(const v1::StepTimeline& step);

}  // namespace hearth

#endif  // HEARTH_CLIENT_COMMAND_TIMELINE_PICTURE_H_
