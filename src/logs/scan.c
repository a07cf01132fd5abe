#include "logs/scan.h"

SCAN_FOR_AVX2 const char *scan_newline_avx2(const char *p, const char *end)
{
    return scan_avx2(p, end, '\n');
}
