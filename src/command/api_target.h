/* command/api_target.h: which running weir a command asks: its admin address and what it is to be shown. */
#pragma once

#include "base/address.h"
#include "command/options.h"

#define API_TOKEN_MAX 256

/* As given on the command line; NULL: not given. */
struct api_options {
    const char *admin, *config, *token;
};

/* --config, --admin and --token, of a struct api_options. */
extern const struct option_row api_option_rows[];
/* Without --config: where that means something else. */
extern const struct option_row api_address_rows[];
#define OPTION_API(type, member)                                                 \
    {                                                                            \
        OPTION_GROUP, .group = api_option_rows, .offset = offsetof(type, member) \
    }
#define OPTION_JSON(type, member)                                                                   \
    {                                                                                               \
        OPTION_FLAG, .name = "json", .offset = offsetof(type, member), .help = "the answer as JSON" \
    }

struct api_target {
    struct address address;        /* one that can be connected to */
    char token[API_TOKEN_MAX + 1]; /* empty: none */
};

/* The address is --admin's, else that of the file's `admin:`, else 127.0.0.1:9091; every address ([::], 0.0.0.0) means
 * this machine. The token is --token's, else the file's, else WEIR_TOKEN's of the environment. EX_OK, or EX_USAGE or
 * EX_CONFIG with the sentence; what is wrong within the file goes to stderr. */
MUST_CHECK int api_target_find(const struct api_options *o, struct api_target *out, struct err *err);
