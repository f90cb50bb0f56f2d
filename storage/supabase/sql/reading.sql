-- True if the user may download, sign and list objects of Vivarium's buckets. Staff: all objects, except the
-- uploads that are not verified yet. Members: the folder under their own id, and the folder `shared/`.
-- Objects of public buckets are read by their public URLs, which no policy checks, so only staff can list
-- public buckets.
   (bucket_id <> {incoming} and {staff})
or (bucket_id = any ({owned}) and cardinality(path_tokens) > 1 and path_tokens[1] = {member})
or (bucket_id = any ({shared}) and cardinality(path_tokens) > 1 and path_tokens[1] = 'shared'
    and {member} is not null)
