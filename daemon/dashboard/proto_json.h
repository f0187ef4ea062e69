#ifndef HEARTH_DAEMON_DASHBOARD_PROTO_JSON_H_
#define HEARTH_DAEMON_DASHBOARD_PROTO_JSON_H_

#include <google/protobuf/message.h>

#include <string>

namespace hearth {

// A message in protobuf's JSON: the names of the proto files, all fields also where they are 0, 64-bit
// numbers as texts. One line.
std::string ProtoJson(const google::protobuf::Message& message);

}  // namespace hearth

#endif  // HEARTH_DAEMON_DASHBOARD_PROTO_JSON_H_
