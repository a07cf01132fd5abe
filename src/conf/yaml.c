/* The reader of files: libyaml's events, our tree and our bounds. libyaml looks only as far ahead as one
 * key, so the bounds on depth and nodes hold before it has taken much. */
#include <yaml.h>

#include "conf/tree.h"

struct reader {
    struct conf_builder builder;
    struct conf_cursor cursor;
    yaml_parser_t parser;
    bool had_document;
};

enum step { STEP_ON, STEP_END, STEP_STOP };

/* Of an event. Marks only go forward, or else each step back would cost a walk from the start: a mark that
 * lies behind gets the place where we are. */
static struct conf_place place_of(struct reader *r, yaml_mark_t mark)
{
    if (mark.index < r->cursor.characters) return r->cursor.place;
    return conf_cursor_to_character(&r->cursor, mark.index);
}

/* What libyaml says is true but says little; for what people do most often we know the remedy. */
static const char *remedy_for(const struct reader *r, size_t offset)
{
    const struct slice *source = &r->cursor.source;
    char c = offset < source->len ? source->data[offset] : 0;
    size_t end = offset < source->len ? offset + 1 : source->len, line = end ? end - 1 : 0;
    while (line && source->data[line - 1] != '\n') line--;
    if (memmem(source->data + line, end - line, "${", 2))
        return "within { } or [ ] put a value with a variable, \"${NAME}\", in quotes";
    if (c == '\t') return "indent with spaces instead of tabs";
    if (c == '@' || c == '`' || c == '%') return "put the text in quotes";
    return "check indentation, colons, quotes and brackets";
}

static void report(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    struct conf_faults *faults = r->builder.faults;
    if (p->error == YAML_MEMORY_ERROR) {
        conf_arena_set_short(r->builder.tree->memory);
        return;
    }
    if (p->error == YAML_READER_ERROR) {
        struct conf_place place = conf_cursor_to_offset(&r->cursor, p->problem_offset);
        conf_fault_add(faults, place, "save the file as UTF-8 text", "not UTF-8 text: %s", p->problem);
        return;
    }
    struct conf_place place = conf_cursor_to_character(&r->cursor, p->problem_mark.index);
    const char *remedy = remedy_for(r, r->cursor.offset);
    if (p->context && p->context_mark.line != p->problem_mark.line)
        conf_fault_add(faults, place, remedy, "not correct YAML: %s %s that begins at line %u",
                       p->problem ? p->problem : "unexpected text", p->context,
                       conf_cursor_to_character(&r->cursor, p->context_mark.index).line);
    else
        conf_fault_add(faults, place, remedy, "not correct YAML: %s%s%s",
                       p->problem ? p->problem : "unexpected text", p->context ? " " : "",
                       p->context ? p->context : "");
}

/* Anchors, tags and the like: a fault each, and on. */
static void refuse_extras(struct reader *r, struct conf_place place, const yaml_char_t *anchor,
                          const yaml_char_t *tag)
{
    if (anchor) r->builder.harmless++;
    if (tag) r->builder.harmless++;
    if (anchor)
        conf_fault_add(r->builder.faults, place, "write the value out where it is needed",
                       "anchors are not supported");
    if (tag)
        conf_fault_add(r->builder.faults, place, "remove it; text that looks like a number goes in quotes",
                       "tags like %s are not supported", tag);
}

static bool is_null(struct slice text)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };
    for (size_t i = 0; i < sizeof(nulls) / sizeof(*nulls); i++)
        if (slice_equal(text, slice_of(nulls[i]))) return true;
    return false;
}

static enum step on_scalar(struct reader *r, const yaml_event_t *event)
{
    struct slice text = { (const char *)event->data.scalar.value, event->data.scalar.length };
    struct conf_place place = place_of(r, event->start_mark);
    bool is_quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    refuse_extras(r, place, event->data.scalar.anchor, event->data.scalar.tag);
    if (conf_builder_wants_key(&r->builder)) {
        if (!is_quoted && slice_equal(text, SLICE("<<")))
            conf_fault_add(r->builder.faults, place, "write the keys out", "merge keys are not supported");
        conf_builder_key(&r->builder, place, text);
        return STEP_ON;
    }
    const struct conf_node *node = !is_quoted && is_null(text)
                                       ? conf_builder_null(&r->builder, place)
                                       : conf_builder_scalar(&r->builder, place, text, is_quoted);
    return node ? STEP_ON : STEP_STOP;
}

static enum step on_alias(struct reader *r, const yaml_event_t *event)
{
    struct conf_place place = place_of(r, event->start_mark);
    conf_fault_add(r->builder.faults, place, "write the value out, or put text that begins with * in quotes",
                   "aliases are not supported");
    if (conf_builder_wants_key(&r->builder)) {
        conf_builder_key(&r->builder, place, slice_of((const char *)event->data.alias.anchor));
        return STEP_ON;
    }
    return conf_builder_null(&r->builder, place) ? STEP_ON : STEP_STOP;
}

static enum step on_open(struct reader *r, const yaml_event_t *event, enum conf_kind kind)
{
    struct conf_place place = place_of(r, event->start_mark);
    bool is_map = kind == CONF_NODE_MAP;
    refuse_extras(r, place, is_map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor,
                  is_map ? event->data.mapping_start.tag : event->data.sequence_start.tag);
    if (conf_builder_wants_key(&r->builder)) {
        conf_fault_add(r->builder.faults, place, "put text that begins with a bracket in quotes",
                       "a key must be text, not a %s", is_map ? "map" : "list");
        return STEP_STOP;
    }
    return conf_builder_open(&r->builder, place, kind) ? STEP_ON : STEP_STOP;
}

static enum step on_document(struct reader *r, const yaml_event_t *event)
{
    if (r->had_document) {
        conf_fault_add(r->builder.faults, place_of(r, event->start_mark), "keep one document",
                       "a second document begins here");
        return STEP_STOP;
    }
    r->had_document = true;
    return STEP_ON;
}

static enum step on_event(struct reader *r, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT: return on_document(r, event);
    case YAML_SCALAR_EVENT: return on_scalar(r, event);
    case YAML_ALIAS_EVENT: return on_alias(r, event);
    case YAML_SEQUENCE_START_EVENT: return on_open(r, event, CONF_NODE_LIST);
    case YAML_MAPPING_START_EVENT: return on_open(r, event, CONF_NODE_MAP);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: conf_builder_close(&r->builder); return STEP_ON;
    case YAML_STREAM_END_EVENT: return STEP_END;
    default: return STEP_ON;
    }
}

/* libyaml takes time that grows with the square of their number; tags are refused anyway. A line begins after
 * any of its line breaks, the last bytes of which are LF, CR or not ASCII. */
static bool refuse_tag_directives(struct reader *r)
{
    const struct slice source = r->cursor.source;
    const char *at = source.data, *end = source.data + source.len;
    for (; (at = memmem(at, (size_t)(end - at), "%TAG", 4)); at += 4) {
        if (at > source.data && at[-1] != '\n' && at[-1] != '\r' && !(at[-1] & 0x80)) continue;
        conf_fault_add(r->builder.faults, conf_cursor_to_offset(&r->cursor, (size_t)(at - source.data)),
                       "remove it", "tags are not supported");
        return true;
    }
    return false;
}

int conf_read_yaml(struct conf_tree *tree, const char *source_name, struct slice bytes,
                   struct conf_faults *faults)
{
    struct reader r = { 0 };
    if (conf_builder_start(&r.builder, tree, source_name, bytes, faults) < 0) return -1;
    r.cursor = conf_cursor_start(tree->source);
    if (refuse_tag_directives(&r)) return -1;
    if (!yaml_parser_initialize(&r.parser)) {
        conf_arena_set_short(tree->memory);
        return conf_builder_result(&r.builder);
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)tree->source.data, tree->source.len);
    enum step step = STEP_ON;
    while (step == STEP_ON) {
        yaml_event_t event;
        if (!yaml_parser_parse(&r.parser, &event)) {
            report(&r);
            break;
        }
        step = on_event(&r, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&r.parser);
    return conf_builder_result(&r.builder);
}
