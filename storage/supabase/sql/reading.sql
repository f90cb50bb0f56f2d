-- Who gets, signs and lists objects of our buckets. Staff: all but what has arrived and was not verified
-- yet. Members: the folder under their own id, and what is shared with every member. Public buckets are
-- read by their public URLs, which ask no policy; so nobody but staff lists them.
   (bucket_id <> {incoming} and {staff})
or (bucket_id = any ({owned}) and cardinality(path_tokens) > 1 and path_tokens[1] = {member})
or (bucket_id = any ({shared}) and cardinality(path_tokens) > 1 and path_tokens[1] = 'shared'
    and {member} is not null)
