#ifndef HEARTH_ENGINE_BASE_SPLIT_NAME_H_
#define HEARTH_ENGINE_BASE_SPLIT_NAME_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hearth {

// What a part of a model is called that is split over several files:
// "FOLDER/NAME-00002-of-00003.gguf".
struct SplitName {
  std::string stem;    // FOLDER/NAME
  uint32_t part = 1;   // from 1 ...
  uint32_t parts = 1;  // ... to this
  std::string ending;  // ".gguf"

  // The name of another part.
  std::string Of(uint32_t part) const;
};
// nullopt for names of any other form.
std::optional<SplitName> ParseSplitName(std::string_view path);

// What a model is called after its file: the file's own name without its ending, and without the number of
// one part of many.
std::string NameOfModelFile(const std::string& path);

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_SPLIT_NAME_H_
