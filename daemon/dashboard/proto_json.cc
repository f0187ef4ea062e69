#include "daemon/dashboard/proto_json.h"

#include <google/protobuf/util/json_util.h>

#include "engine/base/check.h"

namespace hearth {

std::string ProtoJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  // Fails for messages of unknown types alone, which none of Hearth's holds.
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  HEARTH_CHECK(status.ok());
  return json;
}

}  // namespace hearth
