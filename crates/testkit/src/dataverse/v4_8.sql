-- Tables of Dataverse 4.8 that hold data files and what describes them: types and constraints as in a 4.8.6 database.
CREATE TABLE dvobject (
    id SERIAL PRIMARY KEY,
    dtype varchar(31),
    createdate timestamp without time zone NOT NULL,
    indextime timestamp without time zone,
    modificationtime timestamp without time zone NOT NULL,
    permissionindextime timestamp without time zone,
    permissionmodificationtime timestamp without time zone,
    previewimageavailable boolean,
    publicationdate timestamp without time zone,
    storageidentifier varchar(255),
    creator_id bigint,
    owner_id bigint REFERENCES dvobject (id),
    releaseuser_id bigint
);
CREATE INDEX index_dvobject_owner_id ON dvobject (owner_id);
CREATE INDEX index_dvobject_dtype ON dvobject (dtype);

CREATE TABLE dataverse (
    id bigint PRIMARY KEY REFERENCES dvobject (id),
    affiliation varchar(255),
    alias varchar(255) NOT NULL UNIQUE,
    dataversetype varchar(255) NOT NULL,
    description text,
    name varchar(255) NOT NULL
);

CREATE TABLE harvestingclient (
    id SERIAL PRIMARY KEY,
    archivedescription text,
    archiveurl varchar(255),
    deleted boolean,
    harveststyle varchar(255),
    harvesttype varchar(255),
    harvestingnow boolean,
    harvestingurl varchar(255),
    name varchar(255) NOT NULL UNIQUE,
    dataverse_id bigint
);

CREATE TABLE dataset (
    id bigint PRIMARY KEY REFERENCES dvobject (id),
    authority varchar(255),
    doiseparator varchar(255),
    fileaccessrequest boolean,
    globalidcreatetime timestamp without time zone,
    harvestidentifier varchar(255),
    identifier varchar(255) NOT NULL,
    protocol varchar(255),
    guestbook_id bigint,
    harvestingclient_id bigint REFERENCES harvestingclient (id),
    thumbnailfile_id bigint,
    UNIQUE (authority, protocol, identifier, doiseparator)
);

CREATE TABLE datafile (
    id bigint PRIMARY KEY REFERENCES dvobject (id),
    checksumtype varchar(255) NOT NULL,
    checksumvalue varchar(255) NOT NULL,
    contenttype varchar(255) NOT NULL,
    filesize bigint,
    ingeststatus character(1),
    name varchar(255),
    previousdatafileid bigint,
    restricted boolean,
    rootdatafileid bigint NOT NULL
);
CREATE INDEX index_datafile_checksumvalue ON datafile (checksumvalue);

CREATE TABLE datatable (
    id SERIAL PRIMARY KEY,
    casequantity bigint,
    originalfileformat varchar(255),
    originalformatversion varchar(255),
    recordspercase bigint,
    unf varchar(255) NOT NULL,
    varquantity bigint,
    datafile_id bigint NOT NULL REFERENCES datafile (id)
);
CREATE INDEX index_datatable_datafile_id ON datatable (datafile_id);

CREATE TABLE datasetversion (
    id SERIAL PRIMARY KEY,
    unf varchar(255),
    archivenote varchar(1000),
    archivetime timestamp without time zone,
    createtime timestamp without time zone NOT NULL,
    deaccessionlink varchar(255),
    lastupdatetime timestamp without time zone NOT NULL,
    minorversionnumber bigint,
    releasetime timestamp without time zone,
    version bigint,
    versionnote varchar(1000),
    versionnumber bigint,
    versionstate varchar(255),
    dataset_id bigint REFERENCES dvobject (id),
    UNIQUE (dataset_id, versionnumber, minorversionnumber)
);

CREATE TABLE filemetadata (
    id SERIAL PRIMARY KEY,
    description text,
    directorylabel varchar(255),
    label varchar(255) NOT NULL,
    restricted boolean,
    version bigint,
    datafile_id bigint NOT NULL REFERENCES dvobject (id),
    datasetversion_id bigint NOT NULL REFERENCES datasetversion (id)
);
CREATE INDEX index_filemetadata_datafile_id ON filemetadata (datafile_id);
CREATE INDEX index_filemetadata_datasetversion_id ON filemetadata (datasetversion_id);

CREATE TABLE datasetlock (
    id SERIAL PRIMARY KEY,
    info varchar(255),
    reason varchar(255) NOT NULL,
    starttime timestamp without time zone,
    dataset_id bigint NOT NULL REFERENCES dvobject (id),
    user_id bigint NOT NULL
);

CREATE TABLE ingestrequest (
    id SERIAL PRIMARY KEY,
    controlcard varchar(255),
    labelsfile varchar(255),
    textencoding varchar(255),
    datafile_id bigint REFERENCES dvobject (id)
);

CREATE TABLE ingestreport (
    id SERIAL PRIMARY KEY,
    endtime timestamp without time zone,
    report varchar(255),
    starttime timestamp without time zone,
    status integer,
    type integer,
    datafile_id bigint NOT NULL REFERENCES dvobject (id)
);

CREATE TABLE setting (
    name varchar(255) PRIMARY KEY,
    content text
);

CREATE TABLE actionlogrecord (
    id varchar(36) PRIMARY KEY,
    actionresult varchar(255),
    actionsubtype varchar(255),
    actiontype varchar(255),
    endtime timestamp without time zone,
    info text,
    starttime timestamp without time zone,
    useridentifier varchar(255)
);
