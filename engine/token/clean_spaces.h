#ifndef HEARTH_ENGINE_TOKEN_CLEAN_SPACES_H_
#define HEARTH_ENGINE_TOKEN_CLEAN_SPACES_H_

#include <string>

namespace hearth {

// Undoes the spaces that some vocabularies put before punctuation: " ?", " !", " .", " ," lose the space, a
// lone " ' " loses both, and so do " 's", " 'm", " 're", " 've" the one before.
std::string CleanSpaces(std::string text);

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOKEN_CLEAN_SPACES_H_
