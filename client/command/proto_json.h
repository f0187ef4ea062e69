#ifndef HEARTH_CLIENT_COMMAND_PROTO_JSON_H_
#define HEARTH_CLIENT_COMMAND_PROTO_JSON_H_

#include <google/protobuf/message.h>

#include <nlohmann/json.hpp>
#include <string>

namespace hearth {

// A message as --json prints it: the names of the proto files, all scalar fields also where they are 0,
// numbers as numbers, an enum value as its name without the enum's ("FINISH_REASON_LENGTH" is "length").
// Absent messages and absent optional fields are left out. Non-finite numbers are null.
nlohmann::ordered_json ToJson(const google::protobuf::Message& message);

// One line with a line feed; what is no UTF-8, as names on a disk may be, becomes U+FFFD.
std::string JsonLine(const nlohmann::ordered_json& json);

// One line without line feed.
std::string ToJsonLine(const google::protobuf::Message& message);

}  // namespace hearth

#endif  // HEARTH_CLIENT_COMMAND_PROTO_JSON_H_
