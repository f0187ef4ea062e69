#ifndef HEARTH_DAEMON_LORA_FLAG_H_
#define HEARTH_DAEMON_LORA_FLAG_H_

#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/weights/adapter_file.h"

namespace hearth {

// Adds --lora, which may be repeated and sets `target`.
inline CLI::Option* AddLora(CLI::App& app, std::vector<AdapterSource>& target, const std::string& help) {
  return app
      .add_option_function<std::vector<std::string>>(
          "--lora",
          [&target](const std::vector<std::string>& texts) {
            target.clear();
            for (const std::string& text : texts) {
              absl::StatusOr<AdapterSource> source = ParseAdapterSource(text);
              if (!source.ok()) throw CLI::ValidationError("--lora", std::string(source.status().message()));
              target.push_back(*std::move(source));
            }
          },
          help)
      ->allow_extra_args(false)
      ->type_name("FILE[,scale=S]");
}

}  // namespace hearth

#endif  // HEARTH_DAEMON_LORA_FLAG_H_
