#ifndef HEARTH_CLIENT_COMMAND_SCRUB_H_
#define HEARTH_CLIENT_COMMAND_SCRUB_H_

#include <map>
#include <string>
#include <string_view>

namespace hearth {

// What takes the place of words that tell whose home it is: {"annas-laptop", "host-2"}. No empty words.
using PrivateWords = std::map<std::string, std::string, std::less<>>;

// `text` without what strangers should not see: `words`, wherever they stand alone; what is in PEM; whatever
// looks like a key, a code or another secret ("SECRET"), an address of another machine ("ADDRESS"), an id of
// a member
// ("ID"), or a path outside the system's own folders ("PATH"). Rather too much than too little. Pure.
std::string Scrub(std::string_view text, const PrivateWords& words);

}  // namespace hearth

#endif  // HEARTH_CLIENT_COMMAND_SCRUB_H_
