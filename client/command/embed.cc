#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/command/commands.h"
#include "client/command/proto_json.h"
#include "engine/command_line/program.h"

namespace hearth {

absl::Status RunEmbed(Client& client, const v1::EmbedRequest& request, bool json) {
  const absl::StatusOr<v1::EmbedResponse> response = client.Embed(request);
  if (!response.ok()) return response.status();
  if (json) return Print(ToJsonLine(*response) + "\n");
  std::string lines;
  for (const v1::Embedding& embedding : response->embeddings()) {
    absl::StrAppend(&lines, absl::StrJoin(embedding.values(), " "), "\n");
  }
  return Print(lines);
}

}  // namespace hearth
