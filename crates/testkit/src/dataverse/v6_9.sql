-- Tables of Dataverse 6.9 that hold data files and what describes them: types and constraints as in an upgraded database.
CREATE TABLE dvobject (
    id SERIAL PRIMARY KEY,
    dtype varchar(31),
    authority varchar(255),
    createdate timestamp without time zone NOT NULL,
    globalidcreatetime timestamp without time zone,
    identifier varchar(255),
    identifierregistered boolean,
    indextime timestamp without time zone,
    modificationtime timestamp without time zone NOT NULL,
    permissionindextime timestamp without time zone,
    permissionmodificationtime timestamp without time zone,
    previewimageavailable boolean,
    previewimagefail boolean,
    protocol varchar(255),
    publicationdate timestamp without time zone,
    separator varchar(255),
    storageidentifier varchar(255),
    creator_id bigint,
    owner_id bigint REFERENCES dvobject (id),
    releaseuser_id bigint,
    CONSTRAINT chk_dvobject_storageidentifier CHECK (strpos(storageidentifier, '..') = 0)
);
CREATE INDEX index_dvobject_owner_id ON dvobject (owner_id);
CREATE INDEX index_dvobject_dtype ON dvobject (dtype);
CREATE UNIQUE INDEX unique_dvobject_storageidentifier ON dvobject (owner_id, storageidentifier) WHERE dtype = 'DataFile';
CREATE UNIQUE INDEX index_dvobject_authority_protocol_upper_identifier ON dvobject (authority, protocol, upper(identifier));

CREATE TABLE dataverse (
    id bigint PRIMARY KEY REFERENCES dvobject (id),
    affiliation varchar(255),
    alias varchar(255) NOT NULL UNIQUE,
    dataversetype varchar(255) NOT NULL,
    description text,
    name varchar(255) NOT NULL,
    storagedriver text
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

CREATE TABLE datasettype (
    id SERIAL PRIMARY KEY,
    name varchar(255) NOT NULL UNIQUE
);
INSERT INTO datasettype (name) VALUES ('dataset');

CREATE TABLE dataset (
    id bigint PRIMARY KEY REFERENCES dvobject (id),
    fileaccessrequest boolean,
    harvestidentifier varchar(255),
    metadatalanguage varchar(255),
    storagedriver text,
    usegenericthumbnail boolean,
    datasettype_id bigint REFERENCES datasettype (id),
    guestbook_id bigint,
    harvestingclient_id bigint REFERENCES harvestingclient (id),
    thumbnailfile_id bigint
);

CREATE TABLE alternativepersistentidentifier (
    id SERIAL PRIMARY KEY,
    authority varchar(255),
    globalidcreatetime timestamp without time zone,
    identifier varchar(255),
    identifierregistered boolean,
    protocol varchar(255),
    storagelocationdesignator boolean,
    dvobject_id bigint NOT NULL REFERENCES dvobject (id)
);

CREATE TABLE embargo (
    id SERIAL PRIMARY KEY,
    dateavailable date NOT NULL,
    reason text
);

CREATE TABLE retention (
    id SERIAL PRIMARY KEY,
    dateunavailable date NOT NULL,
    reason text
);

CREATE TABLE datafile (
    id bigint PRIMARY KEY REFERENCES dvobject (id),
    checksumtype varchar(255) NOT NULL,
    checksumvalue varchar(255) NOT NULL,
    contenttype varchar(255) NOT NULL,
    filesize bigint,
    ingeststatus character(1),
    previousdatafileid bigint,
    prov_entityname text,
    restricted boolean,
    rootdatafileid bigint NOT NULL,
    embargo_id bigint REFERENCES embargo (id),
    retention_id bigint REFERENCES retention (id)
);
CREATE INDEX index_datafile_checksumvalue ON datafile (checksumvalue);

CREATE TABLE datatable (
    id SERIAL PRIMARY KEY,
    casequantity bigint,
    originalfileformat varchar(255),
    originalfilename varchar(255),
    originalfilesize bigint,
    originalformatversion varchar(255),
    recordspercase bigint,
    storedwithvariableheader boolean DEFAULT false,
    unf varchar(255) NOT NULL,
    varquantity bigint,
    datafile_id bigint NOT NULL REFERENCES datafile (id)
);
CREATE INDEX index_datatable_datafile_id ON datatable (datafile_id);

CREATE TABLE auxiliaryfile (
    id SERIAL PRIMARY KEY,
    checksum varchar(255),
    contenttype varchar(255),
    filesize bigint,
    formattag varchar(255),
    formatversion varchar(255),
    ispublic boolean,
    origin varchar(255),
    type varchar(255),
    datafile_id bigint NOT NULL REFERENCES dvobject (id)
);

CREATE TABLE datasetversion (
    id SERIAL PRIMARY KEY,
    unf varchar(255),
    archivalcopylocation text,
    archivenote varchar(1000),
    archivetime timestamp without time zone,
    createtime timestamp without time zone NOT NULL,
    deaccessionlink varchar(1260),
    externalstatuslabel varchar(32),
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
    prov_freeform text,
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
    forcetypecheck boolean,
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
    id SERIAL PRIMARY KEY,
    content text,
    lang text,
    name text
);

CREATE TABLE storageuse (
    id SERIAL PRIMARY KEY,
    sizeinbytes bigint,
    dvobjectcontainer_id bigint NOT NULL REFERENCES dvobject (id)
);

CREATE TABLE storagequota (
    id SERIAL PRIMARY KEY,
    allocation bigint,
    definitionpoint_id bigint REFERENCES dvobject (id)
);

CREATE TABLE storagesite (
    id SERIAL PRIMARY KEY,
    hostname varchar(255),
    name text,
    primarystorage boolean NOT NULL,
    transferprotocols varchar(255)
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

CREATE TABLE flyway_schema_history (
    installed_rank integer PRIMARY KEY,
    version varchar(50),
    description varchar(200) NOT NULL,
    type varchar(20) NOT NULL,
    script varchar(1000) NOT NULL,
    checksum integer,
    installed_by varchar(100) NOT NULL,
    installed_on timestamp without time zone NOT NULL DEFAULT now(),
    execution_time integer NOT NULL,
    success boolean NOT NULL
);
INSERT INTO flyway_schema_history VALUES
    (1, '1', '<< Flyway Baseline >>', 'BASELINE', '<< Flyway Baseline >>', NULL, 'dvnuser', now(), 0, true),
    (2, '6.8.0.1', 'example', 'SQL', 'V6.8.0.1.sql', 1, 'dvnuser', now(), 5, true);
