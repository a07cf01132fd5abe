/* files/media_types.h: what kind of content a file has, by what its name ends with. Pure, any thread. */
#pragma once

#include "files/files_conf.h"

/* Of the configuration's or weir's own table; "application/octet-stream" if neither knows it. */
const char *media_type_of(const struct files_conf *conf, const char *name);
