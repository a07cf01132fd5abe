#include "http/h1_scan.h"

#define H1_WORD (H1_TOKEN | H1_VALUE | H1_TARGET | H1_HOST)
#define H1_MARK (H1_TOKEN | H1_VALUE | H1_TARGET)
#define H1_DELIM (H1_VALUE | H1_TARGET | H1_HOST)
#define H1_PLAIN (H1_VALUE | H1_TARGET)

/* clang-format off */
const uint8_t h1_classes[256] = {
    ['\t'] = H1_VALUE, [' '] = H1_VALUE, [0x80 ... 0xff] = H1_VALUE,
    ['0' ... '9'] = H1_WORD | H1_DIGIT, ['A' ... 'Z'] = H1_WORD, ['a' ... 'z'] = H1_WORD,
    ['!'] = H1_WORD, ['$'] = H1_WORD, ['&'] = H1_WORD, ['\''] = H1_WORD, ['*'] = H1_WORD, ['+'] = H1_WORD,
    ['-'] = H1_WORD, ['.'] = H1_WORD, ['_'] = H1_WORD, ['~'] = H1_WORD,
    ['%'] = H1_MARK, ['^'] = H1_MARK, ['`'] = H1_MARK, ['|'] = H1_MARK,
    ['#'] = H1_TOKEN | H1_VALUE,
    ['('] = H1_DELIM, [')'] = H1_DELIM, [';'] = H1_DELIM, ['='] = H1_DELIM,
    ['"'] = H1_PLAIN, [','] = H1_PLAIN, ['/'] = H1_PLAIN, [':'] = H1_PLAIN, ['<'] = H1_PLAIN,
    ['>'] = H1_PLAIN, ['?'] = H1_PLAIN, ['@'] = H1_PLAIN, ['['] = H1_PLAIN, ['\\'] = H1_PLAIN,
    [']'] = H1_PLAIN, ['{'] = H1_PLAIN, ['}'] = H1_PLAIN,
};
/* clang-format on */
