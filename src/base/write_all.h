/* base/write_all.h: a whole text to a file, however few bytes of it the kernel takes at a time. */
#pragma once

#include "base/slice.h"

/* 0, or -1 with errno. Blocks as long as the file does: not a worker's. */
int write_all(int fd, struct slice text);
